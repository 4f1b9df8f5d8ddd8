"""Answers that were given already, by what they are a function of. Knows no model.

A file of JSON lines that only grows: a process that is killed loses the batch it was at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import attrs

from customize.interfaces.scorer import Answer, Likelihood


class AnswerStore:
    """Kept in ``file``, or only in memory where that is None."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._answers: dict[str, Answer] = {}
        self._likelihoods: dict[str, Likelihood] = {}
        if file is not None and file.is_file():
            for line in file.read_bytes().splitlines():
                self._remember(line)

    def answer(self, key: str | None) -> Answer | None:
        """The answer kept under the key."""
        return self._answers.get(key or "")

    def likelihood(self, key: str | None) -> Likelihood | None:
        """The likelihood kept under the key."""
        return self._likelihoods.get(key or "")

    def keep(self, found: Mapping[str | None, Answer | Likelihood]) -> None:
        """Add to the file; what has no key is not kept."""
        lines = []
        for key, value in found.items():
            if key is None:
                continue
            if isinstance(value, Answer):
                self._answers[key] = value
                lines.append(json.dumps({"key": key, "answer": attrs.asdict(value)}) + "\n")
            else:
                self._likelihoods[key] = value
                lines.append(json.dumps({"key": key, "likelihood": attrs.asdict(value)}) + "\n")
        if self._file is not None and lines:
            with self._file.open("a", encoding="utf-8") as stream:
                # The blank line ends one that a kill may have cut.
                stream.write("\n" + "".join(lines))

    def _remember(self, line: bytes) -> None:
        try:
            value = json.loads(line)
            if "answer" in value:
                self._answers[value["key"]] = Answer(**value["answer"])
            else:
                self._likelihoods[value["key"]] = Likelihood(**value["likelihood"])
        except (ValueError, KeyError, TypeError):
            return  # cut by a kill, blank, or of another version: it is answered again
