"""What people said of answers. A label is of a text, so that it holds whoever says it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import attrs

from customize._errors import DataError


@attrs.frozen
class Labels:
    """Between 0 and 1, by (id of the row, answer, the other answer or None)."""

    found: Mapping[tuple[str, str, str | None], float] = attrs.field(factory=dict)

    def of(self, item: str, answer: str, other: str | None = None) -> float | None:
        """How good people found the answer, or how much better than the other one."""
        label = self.found.get((item, answer, other))
        if label is None and other is not None:
            turned = self.found.get((item, other, answer))
            return None if turned is None else 1 - turned
        return label


def read_labels(path: Path, of_pairs: bool) -> Labels:
    """From JSON lines with ``id``, ``answer`` and ``label``, and ``other`` where pairs are judged.

    Raises:
        DataError: a line is none of these; with its number.
    """
    if not path.is_file():
        raise DataError(f"{path} is not there: it should hold people's labels, a JSON line each")
    found: dict[tuple[str, str, str | None], float] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            key, label = _label(line, f"{path}, line {number}", of_pairs)
            found[key] = label
    return Labels(found)


def _label(line: bytes, where: str, of_pairs: bool) -> tuple[tuple[str, str, str | None], float]:
    try:
        row = dict(json.loads(line))
    except (ValueError, TypeError) as error:
        raise DataError(f"{where} is no JSON object: {error}") from error
    texts = [row.get(key) for key in ("id", "answer", *(["other"] if of_pairs else []))]
    label = row.get("label")
    if any(not isinstance(text, str) for text in texts) or not _between(label):
        wanted = '"answer": "…", "other": "…"' if of_pairs else '"answer": "…"'
        raise DataError(
            f'{where}: a label reads {{"id": "…", {wanted}, "label": 1}} with a label from 0 to 1 '
            f"(got {json.dumps(row)[:200]})"
        )
    other = str(texts[2]) if of_pairs else None
    return (str(texts[0]), str(texts[1]), other), float(label)  # type: ignore[arg-type]


def _between(label: object) -> bool:
    return isinstance(label, (int, float)) and 0 <= label <= 1
