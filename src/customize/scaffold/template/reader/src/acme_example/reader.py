"""The reader: questions and answers by line. Knows nothing of messages or models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path


def read(path: Path) -> Iterator[Mapping[str, str]]:
    """A row for each line ``question = answer``, in a form that customize knows.

    Raises:
        ValueError: a line has no sign between them; customize adds the file's name.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            question, sign, answer = line.partition("=")
            if not sign:
                raise ValueError(f"line {number} has no '=' between question and answer")
            yield {"prompt": question.strip(), "completion": answer.strip()}
