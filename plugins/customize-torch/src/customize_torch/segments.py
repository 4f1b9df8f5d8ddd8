"""Which tokens of a flat row see which. Knows no tensor."""

from __future__ import annotations

import attrs


@attrs.frozen
class Segment:
    """Tokens [start, end) of the row, causal, that also see all of [prefix_start, prefix_end)."""

    start: int
    end: int
    prefix_start: int = 0
    prefix_end: int = 0

    @property
    def num_seen(self) -> int:
        """Tokens that its last one sees."""
        return self.end - self.start + self.prefix_end - self.prefix_start

    def widened(self, multiple: int, room: int) -> Segment:
        """It and what follows in the row, up to a multiple of tokens; itself where room ends.

        What follows is seen by none of its own tokens, since those are before it.
        """
        end = self.end + (self.start - self.end) % multiple
        return self if end > room else attrs.evolve(self, end=end)
