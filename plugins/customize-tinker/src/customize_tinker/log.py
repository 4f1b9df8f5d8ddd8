"""Commands of one model in the order of their numbers, whatever order they come in.

Knows neither files nor engines.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from customize_tinker.refusals import Refusal, unreadable

_AHEAD = 8192  # numbers beyond the next that are waited for


@attrs.frozen(eq=False)
class Command:
    """An operation on a model. kind: the endpoint's name. body: as it came."""

    seq: int
    kind: str
    body: bytes


class CommandLog:
    """``next`` is the number of the first command that has not been released."""

    def __init__(self, next_: int = 0) -> None:
        self.next = next_
        self._waiting: dict[int, Command] = {}

    def knows(self, seq: int) -> bool:
        """Whether a command of this number was admitted: then it comes again, and is done once."""
        return seq < self.next or seq in self._waiting

    def check(self, seq: int) -> None:
        """Raises Refusal: the number is none that can be waited for."""
        if seq >= self.next + _AHEAD:
            raise unreadable(f"seq_id {seq} is more than {_AHEAD} after the next, {self.next}")

    def admit(self, command: Command) -> Iterator[Command]:
        """The commands whose turn it now is."""
        if self.knows(command.seq):
            raise Refusal(400, f"seq_id {command.seq} was used")
        self._waiting[command.seq] = command
        while self.next in self._waiting:
            self.next += 1
            yield self._waiting.pop(self.next - 1)

    @property
    def is_stuck(self) -> bool:
        """Whether something came before what it must follow."""
        return bool(self._waiting)

    def skip(self) -> Iterator[Command]:
        """Those that wait, though what should come before them never came; they are not done."""
        for seq in sorted(self._waiting):
            self.next = seq + 1
            yield self._waiting.pop(seq)
