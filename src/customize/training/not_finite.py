"""Steps whose numbers are not finite: told with their rows, and left out where that is allowed.

Knows sessions and no method: what a method asks of its session goes through here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from customize._batch import Batch, Floats
from customize._differentiate import Couples
from customize._errors import NonFiniteError
from customize._losses import NAMED_LOSSES, Loss, Numbers
from customize.interfaces.handle import Handle
from customize.interfaces.session import AdamW, LossOutput, Session
from customize.training.begun import BegunSession

_MOST_TOLD = 8
_Seen = Sequence[tuple[Batch, Handle[LossOutput]]]


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Those that are."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


class TolerantSession(BegunSession):
    """Another session, of whose steps ``allowed`` may be left out where they are not finite.

    Of a step that is left out weights and optimizer are as they were; its norm, and a loss that
    could not be evaluated, are NaN. left_out: how many there were. why: what the last one had.
    """

    def __init__(self, session: Session, allowed: int, left_out: int = 0) -> None:
        super().__init__(session)
        self.left_out = left_out
        self.why = ""
        self._allowed = allowed
        self._seen: list[tuple[Batch, Handle[LossOutput]]] = []
        self._refused: list[NonFiniteError] = []

    def forward_backward(self, batch: Batch, loss: Loss) -> Handle[LossOutput]:
        if self._allowed and type(loss) not in NAMED_LOSSES.values():
            loss = _Tolerated(loss, self._refused)
        output = super().forward_backward(batch, loss)
        self._seen.append((batch, output))
        return output

    def optim_step(self, optimizer: AdamW) -> Handle[float]:
        norm = _Norm(super().optim_step(optimizer), self, self._seen, self._refused)
        self._seen, self._refused = [], []
        return norm

    def leave_out(self, error: NonFiniteError, seen: _Seen, refused: list[NonFiniteError]) -> float:
        """The norm of a step that is left out.

        Raises:
            NonFiniteError: as many were as may be.
        """
        why = str(refused[0]) if refused else f"{error} ({_rows_of(seen)})"
        if self.left_out >= self._allowed:
            raise NonFiniteError(why) from error
        self.left_out += 1
        self.why = why
        return math.nan


@attrs.frozen
class _Tolerated:
    """A loss whose refusal becomes a gradient of NaN, which a backend takes no step along."""

    loss: Loss
    refused: list[NonFiniteError]

    @property
    def couples(self) -> Couples:
        return self.loss.couples

    def evaluate(self, logprobs: Floats, batch: Batch) -> tuple[float, Numbers]:
        try:
            return self.loss.evaluate(logprobs, batch)
        except NonFiniteError as error:
            self.refused.append(error)
            return math.nan, np.where(batch.scored, math.nan, 0.0)


@attrs.define
class _Norm:
    """A gradient's norm; NaN where the step is left out, which is counted once."""

    handle: Handle[float]
    session: TolerantSession
    seen: _Seen
    refused: list[NonFiniteError]
    value: float | None = None

    def result(self) -> float:
        if self.value is None:
            try:
                self.value = self.handle.result()
            except NonFiniteError as error:
                self.value = self.session.leave_out(error, self.seen, self.refused)
            self.seen = ()
        return self.value

    def done(self) -> bool:
        return self.handle.done()


def _rows_of(seen: _Seen) -> str:
    """Those of the step whose numbers are not finite, or all where none alone is so."""
    wrong = [name for batch, output in seen for name in _named(batch, _wrong(batch, output))]
    if wrong:
        return f"what is not finite begins at {_listed(wrong)}"
    every = [name for batch, _ in seen for name in _named(batch, range(batch.num_sequences))]
    return f"the step has {_listed(every)}, and the log-probabilities of each are finite"


def _wrong(batch: Batch, output: Handle[LossOutput]) -> Iterator[int]:
    """Sequences with a log-probability or a column that is not finite."""
    fine_N = np.isfinite(output.result().logprobs)
    for column in batch.columns.values():
        fine_N &= np.isfinite(column)
    for sequence in range(batch.num_sequences):
        if not fine_N[batch.offsets[sequence] : batch.offsets[sequence + 1]].all():
            yield sequence


def _named(batch: Batch, sequences: Any) -> Iterator[str]:  # integers, of any kind of sequence
    rows = batch.sequence_columns.get("row")
    for sequence in sequences:
        yield f"sequence {sequence + 1}" if rows is None else f"row {rows[sequence]:.0f}"


def _listed(names: Sequence[str]) -> str:
    once = list(dict.fromkeys(names))
    return ", ".join(once[:_MOST_TOLD]) + (", …" if len(once) > _MOST_TOLD else "")
