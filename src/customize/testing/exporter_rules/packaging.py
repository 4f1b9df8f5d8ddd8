"""Rules about what an exporter writes."""

from __future__ import annotations

from pathlib import Path

import attrs

from customize._errors import ExportError, ParityError
from customize.interfaces.session import LoRA
from customize.testing.expecting import expect
from customize.testing.exporter_rules.subject import ExporterSubject
from customize.testing.rules import RuleBroken


def check_package_passes_the_gate(subject: ExporterSubject) -> None:
    """A session that was trained far from its base is packaged, and answers in a fresh process as
    the session does: the same prompts and greedy answers, and probabilities as near as its
    ``precision`` allows.
    """
    try:
        parity = subject.manifest.parity
    except ExportError as error:
        raise RuleBroken(str(error)) from error
    expect(parity["verdict"] == "passed", f"it answers otherwise: {parity['fault']}")


def check_only_the_weights_given_are_written(subject: ExporterSubject) -> None:
    """Where the weights given are another session's, what is written answers otherwise, and no
    package is left: nothing is kept from one export to the next.
    """
    other = subject.folder() / "weights"
    subject.engine.open(LoRA(rank=4), seed=1).save_weights(other)
    expect(subject.package.is_dir(), "there is no first one")
    to = subject.folder() / "out"
    try:
        subject.write(attrs.evolve(subject.source, weights=other), to)
    except ParityError:
        left = sorted(path.name for path in to.iterdir())
        expect(left == ["parity.json"], f"leaves {', '.join(left)}")
    except ExportError as error:
        raise RuleBroken(f"the export of other weights fails: {error}") from error
    else:
        raise RuleBroken("the export of other weights is left: they are not in it")


def check_source_is_left_as_it_was(subject: ExporterSubject) -> None:
    """Writing changes neither the base nor the weights that it is given."""
    source = subject.untouched_source()
    folders = (source.model.path, source.weights)
    before = [_contents(folder) for folder in folders]
    to = subject.folder() / "written"
    to.mkdir()
    subject.exporter.write(source, to)
    expect([_contents(folder) for folder in folders] == before, "what it is given was changed")


def _contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
