"""An honest observer keeps every rule, and each rule has a liar that it catches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import customize
from customize.testing import conformance
from customize.testing.expansion import cases_of
from customize.testing.holding import hold

pytest.importorskip("customize_sft")


class Honest(customize.Observer):
    """Writes a file of its own."""

    def on_start(self, run: customize.ObservedRun) -> None:
        self.file = Path(run.folder, run.keep("honest", lambda: "steps.txt"))

    def on_step(self, step: customize.Step) -> None:
        with self.file.open("a") as stream:
            stream.write(f"{step.number}\n")


class Deaf(Honest):
    def on_evaluation(self, evaluation: customize.Evaluation) -> None:
        raise TypeError("no such thing as an evaluation")


class Meddling(Honest):
    def on_step(self, step: customize.Step) -> None:
        metrics: Any = step.metrics
        metrics["loss"] = 0.0


class Careless(Honest):
    def on_finish(self, outcome: customize.Outcome) -> None:
        (self.file.parent / "metrics.jsonl").write_text("")


test_an_honest_observer = conformance(observer=Honest())


@pytest.mark.parametrize(
    ("liar", "rule"),
    [
        (Deaf(), "check_every_call_is_taken"),
        (Meddling(), "check_what_it_is_given_stays_as_it_was"),
        (Careless(), "check_the_runs_files_are_left_alone"),
    ],
)
def test_a_liar_is_caught_by_its_rule_and_no_other(liar: customize.Observer, rule: str) -> None:
    cases = cases_of("observer", liar)
    failed = [c.rule.name for c in cases if hold(c.subject(), c.rule).status == "failed"]
    assert failed == [rule]


def test_every_rule_has_a_liar() -> None:
    assert [case.rule.name for case in cases_of("observer", Honest())] == [
        "check_every_call_is_taken",
        "check_what_it_is_given_stays_as_it_was",
        "check_the_runs_files_are_left_alone",
    ]
