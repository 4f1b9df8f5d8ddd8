"""A session that counts what is asked of it. Knows no rule."""

from __future__ import annotations

from collections.abc import Sequence

from customize._batch import Batch, Floats, Ints
from customize._losses import Loss
from customize.interfaces.handle import Handle
from customize.interfaces.sampling import Completion, OnToken, Prompt, Sampling
from customize.interfaces.session import AdamW, LossOutput, Session
from customize.training.around import SessionAround


class Watched(SessionAround):
    """Another session, with the optimizer steps and the other calls that it was asked for."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.steps = 0
        self.calls = 0

    def forward(self, batch: Batch) -> Handle[Floats]:
        self.calls += 1
        return super().forward(batch)

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Handle[list[list[Completion]]]:
        self.calls += 1
        return super().sample(prompts, sampling, on_token)

    def distributions(self, tokens: Ints, start: int) -> Floats:
        self.calls += 1
        return super().distributions(tokens, start)

    def forward_backward(self, batch: Batch, loss: Loss) -> Handle[LossOutput]:
        self.calls += 1
        return super().forward_backward(batch, loss)

    def optim_step(self, optimizer: AdamW) -> Handle[float]:
        self.steps += 1
        return super().optim_step(optimizer)
