"""Steps that have begun and are not done: what a session holds meanwhile belongs to none.

Knows sessions and no method.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from customize._batch import Batch
from customize._errors import OutOfMemoryError
from customize._losses import Loss
from customize.interfaces.handle import Handle
from customize.interfaces.session import AdamW, LossOutput, Session
from customize.training.around import SessionAround


class BegunSession(SessionAround):
    """Another session, which knows whether a step of its method has begun and is not done."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._is_pending = self._is_moved = False

    @property
    def is_between_steps(self) -> bool:
        """Whether it is as the last step left it: no gradient is pending, and no weight moved."""
        return not (self._is_pending or self._is_moved)

    def step_is_done(self) -> None:
        """What follows is of the next step."""
        self._is_pending = self._is_moved = False

    def forward_backward(self, batch: Batch, loss: Loss) -> Handle[LossOutput]:
        with self._leaving_nothing():
            output = super().forward_backward(batch, loss)
        self._is_pending = True
        return output

    def optim_step(self, optimizer: AdamW) -> Handle[float]:
        with self._leaving_nothing():
            norm = super().optim_step(optimizer)
        self._is_pending, self._is_moved = False, True
        return norm

    @contextmanager
    def _leaving_nothing(self) -> Iterator[None]:
        """Where memory runs out no gradient is left pending, and weights are as they were."""
        try:
            yield
        except OutOfMemoryError:
            self._is_pending = False
            raise
