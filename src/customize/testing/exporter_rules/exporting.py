"""Rules about writing an export."""

from __future__ import annotations

from pathlib import Path

from customize._errors import ExportError, ParityError
from customize.interfaces.backend import LoRA, Session
from customize.testing.expecting import expect, expect_raises
from customize.testing.exporter_rules.subject import ExporterSubject
from customize.testing.watched import Watched


def check_export_refuses_to_overwrite(subject: ExporterSubject) -> None:
    """Where the folder exists it raises ExportError and changes nothing in it."""
    to = subject.folder()
    (to / "mine.txt").write_text("mine")
    expect_raises(ExportError, lambda: subject.exporter.export(subject.source, to), "exporting")
    there = {file.name: file.read_text() for file in to.iterdir()}
    expect(there == {"mine.txt": "mine"}, f"the folder holds {', '.join(sorted(there))}")


def check_export_leaves_nothing_else(subject: ExporterSubject) -> None:
    """It writes the folder it was given, with the model card in README.md, and nothing beside."""
    to = subject.exported
    beside = [path.name for path in to.parent.iterdir() if path != to]
    expect(not beside, f"left beside the folder: {', '.join(beside)}")
    card = to / "README.md"
    expect(card.is_file(), "there is no README.md")
    expect(subject.source.card in card.read_text("utf-8"), "README.md is not the model card")


class _WritesAnother(Watched):
    """A session whose weights, when they are written, are those of another."""

    def __init__(self, session: Session, other: Session) -> None:
        super().__init__(session)
        self._other = other

    def save_weights(self, folder: Path) -> None:
        self._other.save_weights(folder)


def check_wrong_export_is_refused(subject: ExporterSubject) -> None:
    """Where what was written answers otherwise than the session it raises ParityError, and leaves
    no folder.
    """
    untrained = subject.engine.open(LoRA(rank=4), seed=1)
    source = subject.exportable(_WritesAnother(subject.session, untrained))
    to = subject.folder() / "out"
    expect_raises(
        ParityError, lambda: subject.exporter.export(source, to), "exporting other weights"
    )
    left = [path.name for path in to.parent.iterdir()]
    expect(not left, f"leaves {', '.join(left)}")
