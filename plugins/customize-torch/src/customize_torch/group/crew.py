"""What a conductor needs of processes: orders to all of them, and their replies. Knows no work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import customize
from customize import BackendError, CustomizeError, OnToken
from customize_torch.group.parcel import Array, Parcel

_REFUSED = "refused"


class Beside(NamedTuple):
    """What does not travel, and only a member in the conductor's own process is given.

    on_token: told of tokens as they are drawn. folder: read or written where it is, by that member;
    the others are sent its files.
    """

    on_token: OnToken | None = None
    folder: Path | None = None


NOTHING = Beside()


class Crew(ABC):
    """Members by rank, each with a ``Part``."""

    world: int
    is_first_here: bool  # whether rank 0 is of the conductor's own process

    @abstractmethod
    def order(
        self, value: Mapping[str, Any], arrays: Mapping[str, Array], beside: Beside
    ) -> list[Parcel]:
        """Have every member do this; their replies by rank.

        Raises:
            CustomizeError: one of them refused; all are ready for the next order.
            BackendError: one of them is gone or hangs; the crew is at its end.
        """


def refusal(error: Exception) -> Parcel:
    """A reply in place of what was asked for: the member is ready for the next order."""
    return Parcel({_REFUSED: [type(error).__name__, str(error)]})


def raise_refusals(replies: Sequence[Parcel], first: int) -> None:
    """Raise what one of the members refused; ``first`` is the rank of the first reply."""
    for rank, reply in enumerate(replies, start=first):
        if _REFUSED in reply.value:
            name, message = reply.value[_REFUSED]
            kind = getattr(customize, name, BackendError)
            if not (isinstance(kind, type) and issubclass(kind, CustomizeError)):
                kind = BackendError
            raise kind(f"process {rank}: {message}")
