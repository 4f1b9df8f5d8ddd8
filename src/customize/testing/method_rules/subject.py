"""A method under test: rows of its kind, and sessions of the toy backend. Knows no rule."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import attrs
import numpy as np
import numpy.typing as npt

from customize._batch import Batch
from customize._options import options_of
from customize.data.reading import read
from customize.interfaces.dataset import Row
from customize.interfaces.method import Method, Step
from customize.interfaces.session import LoRA, Session, Snapshot
from customize.testing.options import changed
from customize.testing.rules import NotApplicable
from customize.testing.subject import Subject
from customize.testing.toy import ToyBackend

Floats = npt.NDArray[np.float32]


@attrs.frozen
class GivenRows:
    """Rows as they are, the very same objects each time: a data set that can be changed."""

    kind: str
    rows: Sequence[dict[str, Any]]

    @property
    def fingerprint(self) -> str:
        """sha256 of the rows as JSON."""
        return hashlib.sha256(json.dumps(self.rows, sort_keys=True).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int, /) -> Row:
        return self.rows[index]


class MethodSubject(Subject):
    """A method with rows to learn from."""

    kind: ClassVar[str] = "method"

    def __init__(self, name: str, method: Method, rows: Sequence[Row] | None = None) -> None:
        super().__init__(name)
        self.method = method
        self._given = rows

    @functools.cached_property
    def _rows(self) -> list[dict[str, Any]]:
        rows = bundled_rows(self.method.data) if self._given is None else self._given
        return [dict(row) for row in read(rows, kind=self.method.data)]

    def data(self, num_rows: int | None = None) -> GivenRows:
        """Rows of the method's kind, a copy of one's own."""
        return GivenRows(self.method.data, copy.deepcopy(self._rows[:num_rows]))

    def open(self, seed: int = 3, without: Iterable[str] = ()) -> Session:
        """A session of the toy backend."""
        return ToyBackend(without=without).load(None).open(LoRA(), seed)

    def with_rate(self, lr: float) -> Method:
        """The same method at another learning rate.

        Raises:
            NotApplicable: it has no option ``lr``.
        """
        if not any(option.name == "lr" for option in options_of(type(self.method))):
            raise NotApplicable("has no option lr")
        return changed(self.method, lr=lr)

    def train(self, session: Session, data: GivenRows, method: Method | None = None) -> list[Step]:
        """All steps, one after the other."""
        return list((method or self.method).train(session, data))

    def answers(self, snapshot: Snapshot) -> Floats:
        """Log-probabilities of many tokens: equal where the weights are."""
        rng = np.random.default_rng(0)
        seen = [snapshot.renderer.prompt(_messages(row)) for row in self._rows]
        rows: list[npt.NDArray[np.int32]] = [rng.integers(0, 250, 2000, np.int32), *seen]
        batch = Batch.from_sequences(
            [(tokens, {"weights": np.ones(len(tokens))}) for tokens in rows]
        )
        return snapshot.forward(batch).result()


def _messages(row: Row) -> Sequence[Row]:
    if "text" in row:
        return _said("user", row["text"])
    return [*row.get("messages", []), *row.get("chosen", []), *row.get("rejected", [])]


def bundled_rows(kind: str) -> list[dict[str, Any]]:
    """Rows of a kind: every prompt has its right answer, and a wrong one where there are pairs.

    Raises:
        NotApplicable: the kit has no rows of this kind.
    """
    prompts = [_said("user", f"question {i}?") for i in range(12)]
    good = [_said("assistant", "yes, " * (1 + i % 3) + "ABCDEFGHIJKL"[i:]) for i in range(12)]
    poor = [_said("assistant", "no way " * (1 + i % 2)) for i in range(12)]
    if kind == "chat":
        return [{"messages": p + g} for p, g in zip(prompts, good, strict=True)]
    if kind == "preference":
        return [
            {"messages": p, "chosen": g, "rejected": r}
            for p, g, r in zip(prompts, good, poor, strict=True)
        ]
    if kind == "prompt":
        return [{"messages": p} for p in prompts]
    if kind == "documents":
        return [
            {
                "id": f"house-{i}",
                "text": f"House {i} opens at {1 + i}:{40 - i} pm. It has {30 + i} "
                f"rooms. The owner is Anna {'ABCDEFGHIJKL'[i]}ell.",
            }
            for i in range(12)
        ]
    raise NotApplicable(f"the kit has no rows of the kind {kind!r}: pass on=[…]")


def _said(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]
