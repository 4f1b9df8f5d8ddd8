"""What one run of a template may cost. Knows nothing of jinja or of chat.

A template comes with a model, from strangers. Loops and every operation that can make a large
value are charged against one budget, so that a hostile one is refused and neither hangs nor fills
the memory.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from customize._errors import RenderingError

MAX_WORK = 100_000_000
MAX_SECONDS = 10.0
# Characters that one turn of a loop, or one list or mapping written, is worth: both take time.
_TICK = 100

# How many characters a string method may make, from its own length and its arguments.
_WIDENING = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs", "indent", "wordwrap"})


class Budget:
    """Characters and loop turns left, and a deadline, for one render."""

    def __init__(self, work: int = MAX_WORK, seconds: float = MAX_SECONDS) -> None:
        self._left = work
        self._deadline = time.monotonic() + seconds
        self._seconds = seconds

    def charge(self, cost: int) -> None:
        """Take ``cost`` characters; raises RenderingError when they are not there."""
        self._left -= cost
        if self._left < 0:
            raise RenderingError(
                "the chat template makes too much text or loops too often and was stopped: "
                "it is broken or hostile; give the model another chat template"
            )

    def tick(self) -> str:
        """One turn of a loop or one call of a macro."""
        self.charge(_TICK)
        if time.monotonic() > self._deadline:
            raise RenderingError(
                f"the chat template ran longer than {self._seconds:g} s and was stopped: "
                "it is broken or hostile; give the model another chat template"
            )
        return ""

    def charge_value(self, value: object) -> None:
        """Charge what writing ``value`` as text would take; shared parts count each time."""
        if isinstance(value, str):
            self.charge(len(value))
        elif isinstance(value, Mapping):
            self.charge(_TICK)
            for key, item in value.items():
                self.charge_value(key)
                self.charge_value(item)
        elif isinstance(value, (list, tuple, set, frozenset)):
            self.charge(_TICK)
            for item in value:
                self.charge_value(item)
        elif isinstance(value, int):
            self.charge(1 + value.bit_length() // 3)
        else:
            self.charge(8)

    def charge_binary(self, operator: str, left: object, right: object) -> None:
        """Charge ``left operator right`` before it is computed."""
        if operator == "*":
            self._charge_product(left, right)
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            self.charge(left.bit_length() * max(right, 0) // 3)
        elif operator == "%" and isinstance(left, str):
            self.charge_format(left, right)
        elif operator == "+":
            self.charge(_size(left) + _size(right))

    def charge_call(self, name: str, subject: object, arguments: tuple[object, ...]) -> None:
        """Charge a string method or filter that can make more text than it is given."""
        size = _size(subject)
        if name in _WIDENING:
            self.charge(max((a for a in arguments if isinstance(a, int)), default=0) * (1 + size))
        elif name in ("replace", "join"):
            longest = max((_size(a) for a in arguments), default=0)
            self.charge(size)
            if longest > 64:
                self.charge((size + 1) * longest)
        elif name in ("format", "format_map"):
            self.charge_format(str(subject), arguments)
        elif name in ("translate", "encode"):
            self.charge(size * 8)

    def charge_format(self, pattern: str, arguments: object) -> None:
        """Charge a format string: the widths it asks for, and its arguments."""
        number = 0
        for character in pattern:
            number = number * 10 + int(character) if "0" <= character <= "9" else 0
            if number > 1_000_000:
                self.charge(number)
        if "*" in pattern or ("{" in pattern.replace("{{", "").partition("{")[2]):
            self.charge(max(_integers(arguments), default=0))
        self.charge_value(arguments if isinstance(arguments, (str, tuple, list)) else "")

    def _charge_product(self, left: object, right: object) -> None:
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, (str, list, tuple)) and isinstance(times, int):
                self.charge(len(sequence) * max(times, 0))
        if isinstance(left, int) and isinstance(right, int):
            self.charge((left.bit_length() + right.bit_length()) // 3)


def _integers(value: object) -> list[int]:
    if isinstance(value, int):
        return [value]
    if isinstance(value, (tuple, list)):
        return [number for item in value for number in _integers(item)]
    return []


def _size(value: object) -> int:
    return len(value) if isinstance(value, (str, list, tuple, Mapping)) else 1
