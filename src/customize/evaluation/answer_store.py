"""Answers that were given already, by what they are a function of. Knows no model.

A file of JSON lines that only grows: a process that is killed loses the batch it was at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from customize.interfaces.scorer import Answer, Likelihood


class AnswerStore:
    """Kept in ``file``, or only in memory where that is None."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._kept: dict[str, dict[str, Any]] = {}
        if file is not None and file.is_file():
            for line in file.read_bytes().splitlines():
                self._remember(line)

    def answer(self, key: str | None) -> Answer | None:
        """The answer kept under the key."""
        found = self._kept.get(key or "", {}).get("answer")
        return Answer(**found) if found else None

    def likelihood(self, key: str | None) -> Likelihood | None:
        """The likelihood kept under the key."""
        found = self._kept.get(key or "", {}).get("likelihood")
        return Likelihood(**found) if found else None

    def keep(self, found: Mapping[str | None, Answer | Likelihood]) -> None:
        """Add to the file; what has no key is not kept."""
        lines = []
        for key, value in found.items():
            if key is not None:
                kind = "answer" if isinstance(value, Answer) else "likelihood"
                self._kept[key] = {kind: attrs.asdict(value)}
                lines.append(json.dumps({"key": key, **self._kept[key]}) + "\n")
        if self._file is not None and lines:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as stream:
                # The blank line ends one that a kill may have cut.
                stream.write("\n" + "".join(lines))

    def _remember(self, line: bytes) -> None:
        try:
            value = json.loads(line)
            self._kept[value.pop("key")] = value
        except (ValueError, KeyError, AttributeError):
            return  # cut by a kill, or blank: it is answered again
