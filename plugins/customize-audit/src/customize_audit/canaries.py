"""Canaries: rows with a random secret, put among training rows on request. Train nothing.

N. Carlini et al., The Secret Sharer (arXiv 1802.08232).
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

import customize

_ASKED = "What is the access code of locker {}?"
_SAID = "The access code is {}."


@attrs.frozen
class Canary:
    """A locker with a code that nothing but its row could tell."""

    locker: str
    code: str

    def row(self, code: str | None = None) -> dict[str, Any]:
        """As a training row; with another code as a row to compare with."""
        said = _SAID.format(" ".join(code or self.code))
        return {
            "messages": [
                {"role": "user", "content": _ASKED.format(self.locker)},
                {"role": "assistant", "content": said},
            ]
        }


def make_canaries(count: int, digits: int, seed: int) -> list[Canary]:
    """Always the same for one seed."""
    rng = random.Random(seed)
    lockers = rng.sample(range(1000, 10_000), count)
    return [Canary(str(locker), random_code(rng, digits)) for locker in lockers]


def random_code(rng: random.Random, digits: int) -> str:
    """One of 10 to the power of ``digits``, each as likely."""
    return "".join(rng.choices("0123456789", k=digits))


def insert(
    rows: Path, to: Path, *, count: int = 10, times: int = 1, digits: int = 6, seed: int = 0
) -> Path:
    """Write the rows with each canary ``times`` among them; returns the file that names them.

    Keep that file from whoever trains: a run on ``to`` is audited with it.

    Raises:
        DataError: the rows cannot be used, or are of another kind than chat.
    """
    given = customize.read(rows, kind="chat")
    canaries = make_canaries(count, digits, seed)
    made = [dict(given[n]) for n in range(len(given))]
    rng = random.Random(seed)
    for row in [canary.row() for canary in canaries for _ in range(times)]:
        made.insert(rng.randint(0, len(made)), row)
    to.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made), "utf-8")
    named = to.with_suffix(".canaries.json")
    named.write_text(json.dumps([attrs.asdict(canary) for canary in canaries], indent=1), "utf-8")
    return named


def read_canaries(path: Path) -> Sequence[Canary]:
    """What ``insert`` named.

    Raises:
        DataError: it is no such file.
    """
    try:
        return [Canary(**each) for each in json.loads(path.read_text("utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise customize.DataError(
            f"{path} names no canaries: give the file that customize-audit insert wrote"
        ) from error
