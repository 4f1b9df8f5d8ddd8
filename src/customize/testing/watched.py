"""A session that counts what is asked of it. Knows no rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from customize._batch import Batch, Floats, Ints
from customize._losses import Loss
from customize.interfaces.backend import (
    AdamW,
    Completion,
    Handle,
    LossOutput,
    OnToken,
    Prompt,
    Sampling,
    Session,
    Snapshot,
)


class Watched(Session):
    """Another session, with the optimizer steps and the other calls that it was asked for."""

    def __init__(self, session: Session) -> None:
        self.renderer = session.renderer
        self.seed = session.seed
        self.capabilities = session.capabilities
        self.steps = 0
        self.calls = 0
        self._session = session

    def forward(self, batch: Batch) -> Handle[Floats]:
        self.calls += 1
        return self._session.forward(batch)

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Handle[list[list[Completion]]]:
        self.calls += 1
        return self._session.sample(prompts, sampling, on_token)

    def distributions(self, tokens: Ints, start: int) -> Floats:
        self.calls += 1
        return self._session.distributions(tokens, start)

    def device_peak(self) -> int | None:
        return self._session.device_peak()

    def forward_backward(self, batch: Batch, loss: Loss) -> Handle[LossOutput]:
        self.calls += 1
        return self._session.forward_backward(batch, loss)

    def optim_step(self, optimizer: AdamW) -> Handle[float]:
        self.steps += 1
        return self._session.optim_step(optimizer)

    def snapshot(self, name: str | None = None) -> Snapshot:
        return self._session.snapshot(name)

    def named_snapshot(self, name: str) -> Snapshot:
        return self._session.named_snapshot(name)

    def base(self) -> Snapshot:
        return self._session.base()

    def save(self, folder: Path) -> None:
        self._session.save(folder)

    def load(self, folder: Path) -> None:
        self._session.load(folder)

    def save_weights(self, folder: Path) -> None:
        self._session.save_weights(folder)
