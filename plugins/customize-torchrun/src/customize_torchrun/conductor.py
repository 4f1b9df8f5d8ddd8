"""What process 0 orders, in the words of the primitives. Knows no method.

Shape legend: N tokens of the batch.
"""

from __future__ import annotations

import functools
import itertools
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from customize import Batch, Completion, OnToken, Prompt, Sampling
from customize_torchrun.crew import Crew
from customize_torchrun.packing import batch_out, completions_in, prompts_out
from customize_torchrun.parcel import Array, Parcel
from customize_torchrun.part import Part, prompt_shares
from customize_torchrun.sharing import Longs, shares

Floats = npt.NDArray[np.float32]


class Conductor:
    """Orders for the group, and what became of them. ``part`` is this process's own."""

    def __init__(self, crew: Crew) -> None:
        self.part = Part(crew.launch)
        self._crew = crew
        self._numbers = itertools.count(1)
        self._unused: deque[int] = deque()  # filled by the garbage collector, at any time

    @property
    def world(self) -> int:
        """Processes in the group."""
        return self._crew.launch.world

    def make(
        self,
        what: str,
        arrays: Mapping[str, Array] | None = None,
        at_hand: Path | None = None,
        **value: Any,  # what JSON can say
    ) -> tuple[int, list[Parcel]]:
        """Something that every process holds from now on: its number, and the replies."""
        number = next(self._numbers)
        return number, self.order(what, arrays, at_hand=at_hand, **{**value, "as": number})

    def let_go_with(self, face: object, number: int) -> None:
        """What has this number is dropped when its face here is."""
        weakref.finalize(face, self._unused.append, number)

    def order(
        self,
        what: str,
        arrays: Mapping[str, Array] | None = None,
        *,
        at_hand: Path | None = None,
        on_token: OnToken | None = None,
        **value: Any,
    ) -> list[Parcel]:
        """The replies by rank; ``at_hand`` is a folder whose files the others are sent."""
        sent = dict(arrays or {}) if at_hand is None else _files(at_hand)
        unused = [self._unused.popleft() for _ in range(len(self._unused))]
        do = functools.partial(self.part.do, on_token=on_token, at_hand=at_hand)
        return self._crew.order({"do": what, "free": unused, **value}, sent, do)

    def forward(self, number: int, batch: Batch) -> Floats:
        """Log-probabilities by what has this number, float32 [N]."""
        return self._by_token(batch, self.order("forward", batch_out(batch), of=number))

    def learn(self, number: int, batch: Batch, loss: Mapping[str, Any]) -> tuple[float, Floats]:
        """The loss and the log-probabilities; the gradient is kept aside until ``add``."""
        replies = self.order("learn", batch_out(batch), of=number, loss=loss)
        total = sum(float(reply.value["loss"]) for reply in replies)
        return total, self._by_token(batch, replies)

    def sample(
        self,
        number: int,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        on_token: OnToken | None,
    ) -> list[list[Completion]]:
        """Completions by prompt; those of other processes are told when they have arrived."""
        value, arrays = prompts_out(prompts, sampling)
        replies = self.order("sample", arrays, of=number, on_token=on_token, **value)
        out: list[list[Completion]] = [[] for _ in prompts]
        dealt = prompt_shares(list(prompts), sampling, self.world)
        for rank, (share, reply) in enumerate(zip(dealt, replies, strict=True)):
            for place, drawn in zip(share.tolist(), completions_in(reply), strict=True):
                out[place] = drawn
                if rank and on_token is not None:
                    _tell(place, drawn, on_token)
        return out

    def _by_token(self, batch: Batch, replies: Sequence[Parcel]) -> Floats:
        out = np.zeros(batch.num_tokens, np.float32)
        dealt: list[Longs] = shares(batch.lengths, batch.groups, self.world)
        for share, reply in zip(dealt, replies, strict=True):
            out[batch.positions_of(share)] = reply.arrays["logprobs"]
        return out


@functools.cache
def conductor_of(crew: Crew) -> Conductor:
    """The one conductor of a group: what it numbers, the others hold under these numbers."""
    return Conductor(crew)


def _files(folder: Path) -> dict[str, Array]:
    """Every file's bytes, by its path from the folder."""
    return {
        file.relative_to(folder).as_posix(): np.fromfile(file, np.uint8)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _tell(place: int, drawn: Sequence[Completion], on_token: OnToken) -> None:
    for index, completion in enumerate(drawn):
        for token in completion.tokens.tolist():
            on_token(place, index, token)
