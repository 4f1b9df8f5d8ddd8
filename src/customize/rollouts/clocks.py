"""Clocks of tasks that share a thread, each charged for its own time. Knows no environment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

from customize.rollouts.limits import Alarm, TimeLimit

T = TypeVar("T")
GRACE_S = 0.5  # in which one that is told to end may clean up
_MINE: ContextVar[Clock | None] = ContextVar("clock", default=None)


class Clocks:
    """Of the tasks of one loop. Whoever has the thread has it under an alarm, while entered."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.held = 0.0  # seconds that tasks have had the thread
        self._alarm = Alarm()

    def __enter__(self) -> Clocks:
        self._alarm.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._alarm.__exit__()

    def task(self, loop: asyncio.AbstractEventLoop, work: Any, **told: Any) -> asyncio.Task[Any]:
        """A loop's factory of tasks: those that a task makes are on its clock.

        work, told: a coroutine and whatever else asyncio gives.
        """
        clock = _MINE.get()
        return asyncio.Task(work if clock is None else _Timed(work, clock), loop=loop, **told)

    def step(self, clock: Clock, function: Callable[..., T], *arguments: object) -> T:
        """What the function gives, which has the thread meanwhile.

        Raises:
            TimeLimit: it has had its time.
        """
        began, left = time.perf_counter(), clock.left()
        found: list[T] = []
        try:
            self._alarm.call(
                left if left > 0 else GRACE_S, lambda: found.append(function(*arguments))
            )
        except TimeLimit:
            if not found:  # else it waits now, and is told there
                raise
        finally:
            held = time.perf_counter() - began
            self.held += held
            clock.own += held
            clock.over |= self._alarm.fired
        return found[0]


class Clock:
    """Of one task at a time. over: it had its time, whatever it did with being told so."""

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self._left_behind = False
        self.start()

    def start(self) -> None:
        """From now on, with all of its time."""
        self._began = time.perf_counter()
        self._held = self._clocks.held
        self.own = 0.0  # seconds that it had the thread
        self.over = self._told = False

    def left(self) -> float:
        """Seconds; while others have the thread they do not run."""
        others = self._clocks.held - self._held - self.own
        return self._clocks.seconds - (time.perf_counter() - self._began - others)

    def step(self, function: Callable[..., T], *arguments: object) -> T:
        """What the function gives; see `Clocks.step`."""
        if self._left_behind:
            raise asyncio.CancelledError
        return self._clocks.step(self, function, *arguments)

    def leave_behind(self) -> None:
        """Whatever is on this clock is not gone on with when it is next to have the thread."""
        self.over = self._left_behind = True

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What it gives, begun now, and cancelled when it has had its time."""
        task = asyncio.current_task()
        assert task is not None
        self.start()
        self._watch(task)  # it has time, so a timer too
        before = _MINE.set(self)
        try:
            found: T = await _Timed(work, self)
            return found
        finally:
            _MINE.reset(before)
            self._timer.cancel()
            if self._told:
                task.uncancel()

    def _watch(self, task: asyncio.Task[Any]) -> None:
        left = self.left()
        if left > 0:
            self._timer = task.get_loop().call_later(left, self._watch, task)
        else:
            self.over = self._told = True
            task.cancel()


class _Timed(Coroutine[Any, Any, T]):
    """A coroutine whose every step is on a clock."""

    def __init__(self, work: Coroutine[Any, Any, T], clock: Clock) -> None:
        self._work = work
        self._clock = clock

    def __await__(self) -> _Timed[T]:
        return self

    def __iter__(self) -> _Timed[T]:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        return self._clock.step(self._work.send, value)

    def throw(self, *raised: Any) -> Any:
        return self._clock.step(self._work.throw, *raised)

    def close(self) -> None:
        self._work.close()
