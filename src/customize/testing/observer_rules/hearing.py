"""Rules about what an observer does with what it is told."""

from __future__ import annotations

from pathlib import Path

from customize.testing.expecting import expect
from customize.testing.observer_rules.subject import ObserverSubject

# They name the run's own folder, or hold seconds or the time.
_OTHERS_EACH_TIME = (
    *("recipe.json", "report.html", "cost.json", ".lock"),
    *("answers.jsonl", "items.jsonl", "results.json"),  # of its evaluation
)


def check_every_call_is_taken(subject: ObserverSubject) -> None:
    """It takes every call of a run that is stopped, gone on with and evaluated.

    It is started three times, with the same run folder, and raises nothing.
    """
    expect(not subject.heard.raised, "\n".join(subject.heard.raised))


def check_what_it_is_given_stays_as_it_was(subject: ObserverSubject) -> None:
    """It changes nothing of what it is given: others are given the same."""
    expect(not subject.heard.changed, "\n".join(subject.heard.changed))


def check_the_runs_files_are_left_alone(subject: ObserverSubject) -> None:
    """The run's own files are what they are when nobody is told: it may only add its own."""
    for file in _files(subject.alone):
        own = subject.watched / file
        expect(own.is_file(), f"{file} is missing")
        same = (
            file.name in _OTHERS_EACH_TIME
            or own.read_bytes() == (subject.alone / file).read_bytes()
        )
        expect(same, f"{file} is not what it is without the observer")


def _files(folder: Path) -> list[Path]:
    return sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
