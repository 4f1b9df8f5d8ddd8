"""Rules about reading a file."""

from __future__ import annotations

import json

from customize.testing.expecting import expect
from customize.testing.reader_rules.subject import ReaderSubject


def check_a_file_gives_rows(subject: ReaderSubject) -> None:
    """A path gives rows, at least one: mappings from text to JSON values."""
    rows = subject.read(subject.copy())
    expect(bool(rows), "no row")
    for number, row in enumerate(rows, start=1):
        expect(isinstance(row, dict), f"row {number} is of type {type(row).__name__}")
        try:
            same = json.loads(json.dumps(row)) == row
        except (TypeError, ValueError) as error:
            expect(False, f"row {number} is not JSON: {error}")
        else:
            expect(same, f"row {number} is another one after JSON: {row!r}")


def check_reading_repeats(subject: ReaderSubject) -> None:
    """The same file gives the same rows each time."""
    file = subject.copy()
    expect(subject.read(file) == subject.read(file), "other rows the second time")


def check_the_file_is_left_alone(subject: ReaderSubject) -> None:
    """Reading changes no byte of the file, and leaves nothing beside it."""
    file = subject.copy()
    before = file.read_bytes()
    subject.read(file)
    expect(file.read_bytes() == before, "the file is another one")
    beside = [path.name for path in file.parent.iterdir() if path != file]
    expect(not beside, f"left beside the file: {', '.join(beside)}")


def check_damage_is_told(subject: ReaderSubject) -> None:
    """A file of other bytes raises: it is not taken for one with rows, or without any."""
    file = subject.copy()
    file.write_bytes(b"\x00\xff{[(<" * 50)
    try:
        rows = subject.read(file)
    except Exception:  # whatever it raises is told with its name
        return
    expect(False, f"gives {len(rows)} rows from bytes of no format")
