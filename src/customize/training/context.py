"""A session that is given no more than its model can hold. Knows no method."""

from __future__ import annotations

from customize._batch import Batch
from customize._errors import DataError
from customize._losses import Loss
from customize.interfaces.handle import Handle
from customize.interfaces.session import LossOutput, Session
from customize.training.around import SessionAround


class WithinContext(SessionAround):
    """Another session, whose model holds ``context`` tokens of one sequence."""

    def __init__(self, session: Session, context: int) -> None:
        super().__init__(session)
        self._context = context

    def context(self) -> int:
        return self._context

    def forward_backward(self, batch: Batch, loss: Loss) -> Handle[LossOutput]:
        """
        Raises:
            DataError: a sequence is longer.
        """
        self._check(batch)
        return self._session.forward_backward(batch, loss)

    def _check(self, batch: Batch) -> None:
        longest = int(batch.lengths.argmax())
        if (length := batch.lengths[longest]) <= self._context:
            return
        rows = batch.sequence_columns.get("row")
        named = "a sequence" if rows is None else f"row {rows[longest]:.0f}"
        raise DataError(
            f"{named} has {length} tokens, and the model holds {self._context}: shorten or leave "
            "out the row, or lower max_length where the model wrote it itself"
        )
