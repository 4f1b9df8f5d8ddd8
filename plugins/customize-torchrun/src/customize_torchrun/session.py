"""Sessions and snapshots that all processes compute together, as process 0 sees them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt

from customize import (
    AdamW,
    BackendError,
    Batch,
    Completion,
    Done,
    Failed,
    Handle,
    Loss,
    LossOutput,
    NonFiniteError,
    OnToken,
    OutOfMemoryError,
    Prompt,
    Sampling,
    Session,
    Snapshot,
)
from customize_torchrun.conductor import Conductor
from customize_torchrun.packing import loss_out

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


class _Spread(Snapshot):
    """Weights that every process holds under one number; ``own`` are those of this process."""

    def __init__(self, conductor: Conductor, number: int, own: Snapshot) -> None:
        self.renderer = own.renderer
        self._conductor = conductor
        self._number = number
        self._weights = own
        conductor.let_go_with(self, number)

    def forward(self, batch: Batch) -> Handle[Floats]:
        return Done(self._conductor.forward(self._number, batch))

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Handle[list[list[Completion]]]:
        return Done(self._conductor.sample(self._number, prompts, sampling, on_token))

    def distributions(self, tokens: Ints, start: int) -> Floats:
        return self._weights.distributions(tokens, start)

    def device_peak(self) -> int | None:
        return self._weights.device_peak()


class SpreadSnapshot(_Spread):
    """Weights that do not move."""

    def __init__(self, conductor: Conductor, number: int) -> None:
        super().__init__(conductor, number, conductor.part.snapshot(number))


class SpreadSession(_Spread, Session):
    """One customization, the same in every process. Files are written by process 0."""

    def __init__(self, conductor: Conductor, number: int, prove_every: int) -> None:
        self._own = conductor.part.session(number)
        super().__init__(conductor, number, self._own)
        self.capabilities = self._own.capabilities
        self._prove_every = prove_every
        self._steps = 0

    @property
    def seed(self) -> int:  # type: ignore[override]  # a loaded state brings its own
        return self._own.seed

    def forward_backward(self, batch: Batch, loss: Loss) -> Handle[LossOutput]:
        named = loss_out(loss)
        if named is None:
            return self.surrogate(batch, loss)
        try:
            output = LossOutput(*self._conductor.learn(self._number, batch, named))
        except OutOfMemoryError:
            self._conductor.order("forget", of=self._number)  # as where memory ran out
            raise
        self._conductor.order("add", of=self._number)
        return Done(output)

    def optim_step(self, optimizer: AdamW) -> Handle[float]:
        values = attrs.asdict(optimizer)  # type: ignore[arg-type]  # it is of attrs
        try:
            replies = self._conductor.order("step", of=self._number, optimizer=values)
        except NonFiniteError as error:
            return Failed(error)
        if self._steps % self._prove_every == 0:
            self._prove()
        self._steps += 1
        return Done(float(replies[0].value["norm"]))

    def _prove(self) -> None:
        """All processes hold the same weights, to the bit, or the run does not go on."""
        own, *others = self._conductor.order("prove", of=self._number)
        wrong = [r for r, told in enumerate(others, start=1) if told.value != own.value]
        if wrong:
            raise BackendError(
                f"process {', '.join(map(str, wrong))} holds other weights than process 0, "
                f"{self._steps + 1} steps after it began: the run stops, before it trains what "
                "nobody asked for. Are torch and the processors or GPUs the same everywhere?"
            )

    def snapshot(self, name: str | None = None) -> Snapshot:
        return self._snapshot("snapshot", name)

    def named_snapshot(self, name: str) -> Snapshot:
        return self._snapshot("named snapshot", name)

    def _snapshot(self, how: str, name: str | None) -> Snapshot:
        number, _ = self._conductor.make(how, of=self._number, name=name)
        return SpreadSnapshot(self._conductor, number)

    def base(self) -> Snapshot:
        number, _ = self._conductor.make("base", of=self._number)
        return SpreadSnapshot(self._conductor, number)

    def save(self, folder: Path) -> None:
        self._own.save(folder)

    def load(self, folder: Path) -> None:
        self._conductor.order("become", at_hand=folder, of=self._number)
        self._steps = 0

    def save_weights(self, folder: Path) -> None:
        self._own.save_weights(folder)
