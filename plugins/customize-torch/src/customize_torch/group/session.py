"""Sessions and snapshots that a crew computes together, as its conductor sees them."""

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
    Renderer,
    Sampling,
    Session,
    Snapshot,
)
from customize_torch.group.conductor import Conductor
from customize_torch.group.packing import loss_out

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


class SpreadSnapshot(Snapshot):
    """Weights that every member holds under one number."""

    def __init__(self, conductor: Conductor, number: int, renderer: Renderer) -> None:
        self.renderer = renderer
        self._conductor = conductor
        self._number = number
        conductor.let_go_with(self, number)

    def forward(self, batch: Batch) -> Handle[Floats]:
        return Done(self._conductor.forward(self._number, batch))

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Handle[list[list[Completion]]]:
        return Done(self._conductor.sample(self._number, prompts, sampling, on_token))

    def distributions(self, tokens: Ints, start: int) -> Floats:
        told, *_ = self._conductor.order(
            "distributions", {"tokens": tokens}, of=self._number, start=start
        )
        out: Floats = told.arrays["logprobs"].reshape(-1, told.value["width"])
        return out

    def device_peak(self) -> int | None:
        replies = self._conductor.order(
            "peak", of=self._number, alone=not self._conductor.crew.is_first_here
        )
        return max((told.value["bytes"] for told in replies if told.value["bytes"]), default=None)


class SpreadSession(SpreadSnapshot, Session):
    """One customization, the same in every member."""

    def __init__(
        self,
        conductor: Conductor,
        number: int,
        renderer: Renderer,
        capabilities: frozenset[str],
        seed: int,
        prove_every: int,
    ) -> None:
        super().__init__(conductor, number, renderer)
        self.capabilities = capabilities
        self.seed = seed
        self._prove_every = prove_every
        self._steps = 0

    def forward_backward(self, batch: Batch, loss: Loss) -> Handle[LossOutput]:
        named = loss_out(loss)
        try:
            if named is None:
                return self.surrogate(batch, loss)
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
        except OutOfMemoryError as error:  # what some hold now may be a step further
            raise BackendError(
                f"{error}: processes may hold other weights than one another now, so nothing more "
                "is saved. The last checkpoint is whole: the run goes on from it"
            ) from error
        if self._steps % self._prove_every == 0:
            self._prove()
        self._steps += 1
        return Done(float(replies[0].value["norm"]))

    def _prove(self) -> None:
        """All hold the same weights, to the bit, or the run does not go on."""
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
        return SpreadSnapshot(self._conductor, number, self.renderer)

    def base(self) -> Snapshot:
        number, _ = self._conductor.make("base", of=self._number)
        return SpreadSnapshot(self._conductor, number, self.renderer)

    def save(self, folder: Path) -> None:
        self._conductor.write("save", self._number, folder)

    def load(self, folder: Path) -> None:
        told, *_ = self._conductor.order("become", at_hand=folder, of=self._number)
        self.seed = told.value["seed"]
        self._steps = 0

    def save_weights(self, folder: Path) -> None:
        self._conductor.write("save weights", self._number, folder)
