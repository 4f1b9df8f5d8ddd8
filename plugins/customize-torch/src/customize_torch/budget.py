"""How many tokens are computed together, and what is done when memory runs out. Knows no model."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from customize import Batch, OutOfMemoryError
from customize_torch.cutting import Longs, pieces

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Budget:
    """Tokens computed together: as asked, or half as many as often as memory ran out."""

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def spend(self, batch: Batch, by_group: bool, compute: Callable[[list[Longs]], T]) -> T:
        """``compute`` the batch in pieces; where memory runs out, all of it anew in smaller ones.

        Raises:
            OutOfMemoryError: it runs out on what cannot be cut further.
        """
        while True:
            cut = list(pieces(batch, self.tokens, by_group))
            try:
                return compute(cut)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                told = str(error).splitlines()[0]
            # Here, since what the error holds is freed only when it is left.
            self._halve(batch, len(cut), by_group, told)

    def _halve(self, batch: Batch, num_pieces: int, by_group: bool, told: str) -> None:
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        if num_pieces == len(list(pieces(batch, 1, by_group))):
            longest = int(batch.lengths.max())
            unit = "a group" if by_group else "a sequence"
            raise OutOfMemoryError(
                f"memory does not hold {unit} (the longest sequence has {longest} tokens) even by "
                "itself. From the cheapest: recompute=always, base=int8, shorter rows, "
                f"adapter.targets of fewer layers, a smaller model ({told})"
            )
        self.tokens //= 2
        _log.warning(
            "memory ran out: %d tokens are computed together from now on; batch and loss stay the "
            "same",
            self.tokens,
        )


def _is_out_of_memory(error: RuntimeError) -> bool:
    """On processors it is told by the text alone."""
    on_processor = "DefaultCPUAllocator: can't allocate memory" in str(error)
    return isinstance(error, torch.OutOfMemoryError) or on_processor
