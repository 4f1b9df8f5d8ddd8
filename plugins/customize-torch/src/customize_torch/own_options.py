"""A backend's options that make training smaller, as whoever runs it sets them. Without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from customize import Smaller

INSIDE = "on_options"  # where a backend of many processes has what each computes with
ANEW = "in a new folder"  # what changes more than how numbers are rounded


@attrs.frozen
class OwnOptions:
    """smaller: changes of them, for the largest unit of so many tokens.

    backend: the name that a run is given; together: whether each is an option of its processes.
    """

    smaller: Callable[[int], Sequence[Smaller]]
    backend: str
    together: bool = False

    def told(self, one: Smaller) -> str:
        """What to give for a change, and what that costs."""
        if self.together:
            one = attrs.evolve(one, option=f"{INSIDE}.{one.option}")
        cost = one.cost if one.exact else f"{one.cost}; {ANEW}"
        return f"{one.setting(self.backend)} ({cost})"
