"""How many tokens are computed together, and what is done when memory runs out. Knows no model."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import attrs

from customize import Adapter, Batch
from customize_torch.cutting import Longs, pieces
from customize_torch.own_options import OwnOptions
from customize_torch.remedies import (
    first_line,
    free_unused,
    is_out_of_memory,
    of_training,
    out_of_memory,
)

T = TypeVar("T")
_log = logging.getLogger(__name__)


@attrs.frozen
class Rows:
    """So many completions that are drawn together, each of ``width`` tokens with its prompt."""

    num: int
    width: int


class Budget:
    """Tokens computed together: as asked, or half as many as often as memory ran out.

    asked: what ``tokens`` was before memory ever ran out.
    most: that are drawn together, of such a width or a larger one, where memory ran out.
    """

    def __init__(self, tokens: int, own: OwnOptions) -> None:
        self.asked = self.tokens = tokens
        self.own = own
        self.most: list[Rows] = []

    def spend(
        self,
        batch: Batch,
        by_group: bool,
        compute: Callable[[list[Longs]], T],
        adapter: Adapter | None = None,
    ) -> T:
        """``compute`` the batch in pieces; where memory runs out, all of it anew in smaller ones.

        adapter: what is trained; None where there is no gradient.

        Raises:
            OutOfMemoryError: it runs out on what cannot be cut further.
        """
        while True:
            cut = list(pieces(batch, self.tokens, by_group))
            try:
                return compute(cut)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                told = first_line(error)
            # Here, since what the error holds is freed only when it is left.
            self._halve(batch, len(cut), by_group, adapter, told)

    def go_on(self, asked: int, reached: int) -> None:
        """From what another budget reached, unless it was asked for another number of tokens."""
        if asked == self.asked:
            self.tokens = min(self.tokens, reached)

    def holds(self, draw: Callable[[], None], rows: Rows) -> bool:
        """Whether memory holds what ``draw`` makes of so many rows; else half as many are drawn
        together from now on.
        """
        try:
            draw()
        except (RuntimeError, MemoryError) as error:
            if rows.num == 1 or not is_out_of_memory(error):
                raise
        else:
            return True
        # Here, since what the error holds is freed only when it is left.
        free_unused()
        half = Rows(-(-rows.num // 2), rows.width)
        self.most.append(half)
        _log.warning(
            "memory ran out: %d rows of %d tokens are drawn together from now on; what is drawn "
            "stays the same",
            half.num,
            half.width,
        )
        return False

    def _halve(
        self, batch: Batch, num_pieces: int, by_group: bool, adapter: Adapter | None, told: str
    ) -> None:
        free_unused()
        if num_pieces == len(list(pieces(batch, 1, by_group))):
            longest = int(batch.lengths.max())
            unit = "a group" if by_group else "a sequence"
            what = f"{unit} (the longest sequence has {longest} tokens) even by itself"
            remedies = of_training(self.own, adapter, longest, "token_budget")
            raise out_of_memory(what, remedies, told)
        self.tokens //= 2
        _log.warning(
            "memory ran out: %d tokens are computed together from now on; batch and loss stay the "
            "same",
            self.tokens,
        )
