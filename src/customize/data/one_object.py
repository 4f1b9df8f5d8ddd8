"""A file that is one JSON object where rows should be: told as what it is. Reads no rows."""

from __future__ import annotations

import json
from pathlib import Path

from customize._errors import DataError
from customize.data.faults import RowFault
from customize.data.formats import candidates
from customize.data.strict_json import decode_at

_LARGEST = 2**26  # bytes; of a larger file the lines are told, as of any other


def refuse_one_object(path: Path) -> None:
    """Raises DataError for an object that is written over lines, or that holds the rows."""
    with path.open("rb") as stream:
        first = stream.readline(_LARGEST).removeprefix(b"\xef\xbb\xbf").strip()
        if not first.startswith(b"{") or (_is_value(first) and stream.readline(1)):
            return
    if path.stat().st_size > _LARGEST:
        return
    text = path.read_bytes().decode("utf-8-sig", "replace").lstrip()
    try:
        found, end, _ = decode_at(text, 0)
    except RowFault:
        return
    rest = text[end:].strip()
    if not rest and (holding := _holding_rows(found)):
        key, num = holding
        raise DataError(
            f"{path} is one JSON object whose {key!r} holds a list of {num}, which seem the rows: "
            f"save that list alone (jq '.[{json.dumps(key)}]' {path.name} > list.json)"
        )
    if num_lines := text.count("\n", 0, end):
        several = "objects, each written" if rest else "a JSON object written"
        raise DataError(
            f"{path} holds {several} over lines, the first over {num_lines + 1}; a row is one line "
            f"(jq -c . {path.name} > lines.jsonl), or an element of a list ([…]) in a .json file"
        )


def _is_value(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _holding_rows(found: object) -> tuple[str, int] | None:
    """The key with the most objects in a list, and their number; None where ``found`` is a row."""
    if not isinstance(found, dict) or candidates(found):
        return None
    lists = {
        key: len(value)
        for key, value in found.items()
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value)
    }
    return max(lists.items(), key=lambda item: item[1], default=None)
