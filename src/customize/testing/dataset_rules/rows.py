"""Rules about rows by number."""

from __future__ import annotations

import copy
import json
import re
from typing import Any, get_args

from customize.interfaces.dataset import Kind
from customize.testing.dataset_rules.subject import DatasetSubject
from customize.testing.expecting import expect

_COLUMNS = {
    "chat": ("messages",),
    "preference": ("messages", "chosen", "rejected"),
    "prompt": ("messages",),
    "documents": ("text",),
}


def check_rows_are_counted(subject: DatasetSubject) -> None:
    """``len`` says how many rows there are: at least one, each can be taken, none beyond it."""
    data = subject.data
    expect(len(data) > 0, "it has no rows")
    for place in (*subject.places, len(data) - 1):
        data[place]
    try:
        beyond = data[len(data)]
    except IndexError:
        return
    expect(False, f"row {len(data)} of {len(data)} is {beyond!r}: raise IndexError")


def check_rows_are_of_their_kind(subject: DatasetSubject) -> None:
    """``kind`` is one of the four, and every row has its columns and JSON values only."""
    kinds = get_args(Kind)
    kind = subject.data.kind
    expect(kind in kinds, f"kind is {kind!r}: use one of {', '.join(kinds)}")
    for place in subject.places:
        row = subject.data[place]
        missing = [column for column in _COLUMNS[kind] if column not in row]
        expect(not missing, f"row {place} lacks {', '.join(missing)}")
        try:
            same = json.loads(json.dumps(row)) == row
        except (TypeError, ValueError) as error:
            expect(False, f"row {place} is not JSON: {error}")
        else:
            expect(same, f"row {place} is another one after JSON: tuples, or keys that are no text")


def check_dataset_fingerprint_is_stable(subject: DatasetSubject) -> None:
    """``fingerprint`` is a sha256 that is the same when the data set is made again."""
    first, again = subject.data.fingerprint, subject.again().fingerprint
    expect(bool(re.fullmatch(r"[0-9a-f]{64}", first)), f"{first!r} is no sha256 in hexadecimal")
    expect(first == again, f"{first} the first time, {again} the second")


def check_rows_are_the_same_each_time(subject: DatasetSubject) -> None:
    """A row taken again, or from the data set made again, is equal to what it was."""
    again = subject.again()
    for place in subject.places:
        row = copy.deepcopy(subject.data[place])
        expect(subject.data[place] == row, f"row {place} differs when taken again")
        expect(again[place] == row, f"row {place} differs when the data set is made again")


def check_rows_are_not_shared(subject: DatasetSubject) -> None:
    """What is done to a row that was taken changes nothing in the data set."""
    data = subject.again()
    before = copy.deepcopy(data[0])
    _spoil(data[0])
    expect(data[0] == before, "row 0 is another one after the first was changed: give copies")


def _spoil(value: Any) -> None:  # JSON values
    if isinstance(value, dict):
        for inner in value.values():
            _spoil(inner)
        value["spoilt"] = True
    elif isinstance(value, list):
        for inner in value:
            _spoil(inner)
        value.append("spoilt")
