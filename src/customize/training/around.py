"""A session around another, for those that change or watch a few of its primitives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from customize._batch import Batch, Floats, Ints
from customize._losses import Loss
from customize.interfaces.handle import Handle
from customize.interfaces.sampling import Completion, OnToken, Prompt, Sampling
from customize.interfaces.session import AdamW, LossOutput, Session, Snapshot


class SessionAround(Session):
    """Passes on everything that it is asked."""

    def __init__(self, session: Session) -> None:
        self.renderer = session.renderer
        self.capabilities = session.capabilities
        self._session = session

    @property
    def seed(self) -> int:  # type: ignore[override]  # a loaded state brings its own
        return self._session.seed

    def forward(self, batch: Batch) -> Handle[Floats]:
        return self._session.forward(batch)

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Handle[list[list[Completion]]]:
        return self._session.sample(prompts, sampling, on_token)

    def distributions(self, tokens: Ints, start: int) -> Floats:
        return self._session.distributions(tokens, start)

    def context(self) -> int | None:
        return self._session.context()

    def device_peak(self) -> int | None:
        return self._session.device_peak()

    def forward_backward(self, batch: Batch, loss: Loss) -> Handle[LossOutput]:
        return self._session.forward_backward(batch, loss)

    def optim_step(self, optimizer: AdamW) -> Handle[float]:
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

    def close(self) -> None:
        self._session.close()
