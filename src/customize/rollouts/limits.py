"""Time limits that hold against code that ignores them. Knows no environment.

A signal's handler raises inside whatever runs in the main thread, again and again until it ends.
What it raises is no Exception, which people's code catches. Neither asyncio nor threads can stop a
runaway regular expression: it holds the interpreter's lock.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")
_AGAIN_S = 0.05


class TimeLimit(BaseException):
    """Raised inside code that has had its time; no Exception, so that it is not caught."""


def can_interrupt() -> bool:
    """Whether an alarm can be set here: only the main thread is interrupted by signals."""
    in_main = threading.current_thread() is threading.main_thread()
    return in_main and hasattr(signal, "setitimer")


class Alarm:
    """Interrupts calls that take too long, while it is entered."""

    def __init__(self) -> None:
        self._armed = False
        self.fired = False  # in the last call, whatever that did with it
        self._before: Any = None  # a signal's handler, as signal types it
        self._own = self._ring  # one object, by which it is known again

    def __enter__(self) -> Alarm:
        self._before = signal.signal(signal.SIGALRM, self._own)
        return self

    def __exit__(self, *raised: object) -> None:
        signal.signal(signal.SIGALRM, self._before)

    def call(self, seconds: float, function: Callable[..., T], *arguments: object) -> T:
        """The function's value. A timer that runs already stands still meanwhile, and then goes on.

        Raises:
            TimeLimit: it took longer, unless the function caught that.
        """
        if signal.getsignal(signal.SIGALRM) is not self._own:  # code that was called set it
            signal.signal(signal.SIGALRM, self._own)
        self.fired, self._armed = False, True
        before = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_S)
        try:
            return function(*arguments)
        finally:
            self._armed = False
            signal.setitimer(signal.ITIMER_REAL, *before)
            self._armed = False  # the line before the last may have been interrupted

    def _ring(self, number: int, frame: FrameType | None) -> None:
        if self._armed:
            self.fired = True
            raise TimeLimit


def limited(seconds: float, function: Callable[..., T], *arguments: object) -> T:
    """The function's value, under an alarm where one can be set.

    Raises:
        TimeoutError: it took longer.
    """
    if not can_interrupt():
        return function(*arguments)
    with Alarm() as alarm:
        try:
            value = alarm.call(seconds, function, *arguments)
        except TimeLimit:
            raise late(seconds) from None
    if alarm.fired:
        raise late(seconds)
    return value


def late(seconds: float) -> TimeoutError:
    """What people are told in place of our own signal."""
    return TimeoutError(f"nothing within {seconds:g} s")
