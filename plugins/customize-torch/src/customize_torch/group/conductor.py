"""What is ordered of a crew, in the words of the primitives. Knows no method.

Shape legend: N tokens of the batch.
"""

from __future__ import annotations

import itertools
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from customize import Batch, Completion, OnToken, Prompt, Sampling
from customize_torch.group.crew import NOTHING, Beside, Crew
from customize_torch.group.files import files_of, write_files
from customize_torch.group.packing import batch_out, completions_in, prompts_out
from customize_torch.group.parcel import Array, Parcel
from customize_torch.group.part import prompt_shares
from customize_torch.group.sharing import Longs, shares

Floats = npt.NDArray[np.float32]


class Conductor:
    """Orders for a crew, and what became of them."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self._numbers = itertools.count(1)
        self._unused: deque[int] = deque()  # filled by the garbage collector, at any time

    def make(
        self,
        what: str,
        arrays: Mapping[str, Array] | None = None,
        at_hand: Path | None = None,
        **value: Any,  # what JSON can say
    ) -> tuple[int, list[Parcel]]:
        """Something that every member holds from now on: its number, and the replies."""
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
        beside: Beside = NOTHING,
        **value: Any,
    ) -> list[Parcel]:
        """The replies by rank; ``at_hand`` is a folder whose files those elsewhere are sent."""
        sent = dict(arrays or {})
        if at_hand is not None:
            sent, beside = files_of(at_hand), Beside(folder=at_hand)
        unused = [self._unused.popleft() for _ in range(len(self._unused))]
        return self.crew.order({"do": what, "free": unused, **value}, sent, beside)

    def write(self, what: str, number: int, folder: Path) -> None:
        """Have the files of what has this number written into a folder here."""
        written, *_ = self.order(what, of=number, beside=Beside(folder=folder))
        write_files(folder, written.arrays)

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
        """Completions by prompt; those drawn elsewhere are told when they have arrived."""
        value, arrays = prompts_out(prompts, sampling)
        replies = self.order("sample", arrays, of=number, beside=Beside(on_token), **value)
        out: list[list[Completion]] = [[] for _ in prompts]
        dealt = prompt_shares(list(prompts), sampling, self.crew.world)
        for rank, (share, reply) in enumerate(zip(dealt, replies, strict=True)):
            for place, drawn in zip(share.tolist(), completions_in(reply), strict=True):
                out[place] = drawn
                if on_token is not None and (rank or not self.crew.is_first_here):
                    _tell(place, drawn, on_token)
        return out

    def _by_token(self, batch: Batch, replies: Sequence[Parcel]) -> Floats:
        out = np.zeros(batch.num_tokens, np.float32)
        dealt: list[Longs] = shares(batch.lengths, batch.groups, self.crew.world)
        for share, reply in zip(dealt, replies, strict=True):
            out[batch.positions_of(share)] = reply.arrays["logprobs"]
        return out


def _tell(place: int, drawn: Sequence[Completion], on_token: OnToken) -> None:
    for index, completion in enumerate(drawn):
        for token in completion.tokens.tolist():
            on_token(place, index, token)
