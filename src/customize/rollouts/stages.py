"""Where environments play: here under an alarm, or many async ones at once. Knows no tokens."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Protocol

import attrs

from customize._errors import OptionError, OutOfRoom
from customize.interfaces.dataset import Row
from customize.interfaces.environment import Environment, Reply, Verdict
from customize.rollouts.clocks import GRACE_S, Clock, Clocks
from customize.rollouts.limits import Alarm, TimeLimit, can_interrupt, late

# What an environment is sent: nothing at first, a reply, or that there is no room for another.
Sent = Reply | OutOfRoom | None


@attrs.frozen
class Said:
    """What came back: what was yielded, what was returned (``over``), or what was raised.

    seconds: of the time that passed its share, where many play at once.
    """

    value: Any  # whatever a person's generator gives: the driver checks it
    over: bool
    error: BaseException | None
    seconds: float


class Stage(Protocol):
    """Plays many episodes of one environment, between ``__enter__`` and ``__exit__``."""

    def __enter__(self) -> Stage: ...

    def __exit__(self, *raised: object) -> None:
        """Close what is still open."""

    def begin(self, row: Row, seed: int) -> int:
        """A new episode, by a number; it has not said anything yet."""

    def send(self, sent: Sequence[tuple[int, Sent]]) -> list[Said]:
        """What each of these episodes says to what it is sent; it never raises for them."""

    def close(self, number: int) -> str | None:
        """Let the episode clean up, whatever comes of it; what went wrong, or None."""


def stage_for(environment: Environment) -> Stage:
    """Where this environment plays.

    Raises:
        OptionError: no time limit would hold here.
    """
    if environment.isolate:
        from customize.rollouts.isolation import Isolated

        return Isolated(environment)
    if not can_interrupt():
        apart = "an environment marked @customize.environment(isolate=True)"
        or_else = f"write {apart} that calls it" if environment.made_of else f"make it {apart}"
        raise OptionError(
            f"{environment.name} cannot be stopped outside the main thread: play in the main "
            f"thread, or {or_else}"
        )
    if not environment.is_async:
        return Direct(environment)
    if _loop_runs():
        raise OptionError(
            f"the environment {environment.name} is async, and an event loop runs here already, as "
            "in a notebook: play from a script or the command line, or write it as a plain "
            "generator marked @customize.environment(isolate=True), with asyncio.run(…) around "
            "what is awaited"
        )
    return Gathered(environment)


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class Direct:
    """In this thread, one after the other, each call under an alarm."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._open: dict[int, Generator[Any, Any, Any]] = {}
        self._alarm = Alarm()
        self._begun = 0

    def __enter__(self) -> Direct:
        self._alarm.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        for number in list(self._open):
            self.close(number)
        self._alarm.__exit__()

    def begin(self, row: Row, seed: int) -> int:
        self._begun += 1
        self._open[self._begun] = self._environment(row, random.Random(seed))  # type: ignore[assignment]  # no async one comes here
        return self._begun

    def send(self, sent: Sequence[tuple[int, Sent]]) -> list[Said]:
        return [self._send(number, what) for number, what in sent]

    def _send(self, number: int, what: Sent) -> Said:
        generator, limit = self._open[number], self._environment.seconds
        began = time.perf_counter()
        try:
            if isinstance(what, OutOfRoom):
                value = self._alarm.call(limit, generator.throw, what)
            else:
                value = self._alarm.call(limit, generator.send, what)
        except StopIteration as end:
            error = late(limit) if self._alarm.fired else None
            return self._ended(number, end.value, error, began)
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # whatever a person's code raises, SystemExit too
            return self._ended(number, None, told_limit(raised, limit), began)
        if self._alarm.fired:  # it caught that and went on
            return self._ended(number, None, late(limit), began)
        return Said(value, False, None, time.perf_counter() - began)

    def _ended(self, number: int, value: Any, error: BaseException | None, began: float) -> Said:
        self.close(number)
        return Said(value, True, error, time.perf_counter() - began)

    def close(self, number: int) -> str | None:
        generator = self._open.pop(number, None)
        fault = None
        for _ in range(3):  # one that goes on yielding is asked again
            try:
                if generator is not None:
                    self._alarm.call(self._environment.seconds, generator.close)
                return fault
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # whatever a person's code raises
                fault = fault or _of_closing(error)
        return fault


@attrs.frozen
class _Playing:
    """An async episode, and the clock of whatever it does."""

    generator: AsyncGenerator[Any, Any]
    clock: Clock


class Gathered:
    """Async environments: all wait at once. Each has a clock of its own, which stands still while
    others have the thread, and an alarm while it has the thread itself."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._open: dict[int, _Playing] = {}
        self._runner = asyncio.Runner()
        self._stack = ExitStack()
        self._clocks = Clocks(environment.seconds)
        self._begun = 0

    def __enter__(self) -> Gathered:
        self._stack.enter_context(self._runner)
        self._runner.get_loop().set_task_factory(self._clocks.task)
        self._stack.enter_context(self._clocks)
        return self

    def __exit__(self, *raised: object) -> None:
        with self._stack:  # whatever comes of closing them
            for number in list(self._open):
                self.close(number)

    def begin(self, row: Row, seed: int) -> int:
        self._begun += 1
        generator: Any = self._environment(row, random.Random(seed))  # only async ones come here
        self._open[self._begun] = _Playing(generator, Clock(self._clocks))
        return self._begun

    def send(self, sent: Sequence[tuple[int, Sent]]) -> list[Said]:
        began = time.perf_counter()
        said = self._runner.run(self._send_all(sent))
        passed = time.perf_counter() - began
        share = passed / max(passed, sum(one.seconds for one in said.values()))
        return [attrs.evolve(said[n], seconds=share * said[n].seconds) for n, _ in sent]

    def close(self, number: int) -> str | None:
        return self._runner.run(self._close(number))

    async def _send_all(self, sent: Sequence[tuple[int, Sent]]) -> Mapping[int, Said]:
        """Of one that catches even being cancelled there is nothing: it is left behind."""
        limit = self._environment.seconds
        clocks = {number: self._open[number].clock for number, _ in sent}
        tasks = {number: asyncio.create_task(self._send(number, what)) for number, what in sent}
        waiting, left = list(tasks), limit
        while waiting and left + GRACE_S > 0:
            await asyncio.wait([tasks[number] for number in waiting], timeout=left + GRACE_S)
            waiting = [number for number in waiting if not tasks[number].done()]
            left = max((clocks[number].left() for number in waiting), default=0.0)
        for number in waiting:
            clocks[number].leave_behind()
        lost = Said(None, True, late(limit), limit)
        return {n: task.result() if task.done() else lost for n, task in tasks.items()}

    async def _send(self, number: int, what: Sent) -> Said:
        generator, clock = self._open[number].generator, self._open[number].clock
        began = time.perf_counter()
        work = generator.athrow(what) if isinstance(what, OutOfRoom) else generator.asend(what)
        value: Any = None
        error: BaseException | None = None
        try:
            value = await clock.run(work)
        except StopAsyncIteration:
            error = RuntimeError("ended without a reward: yield it last, a number or parts")
        except KeyboardInterrupt:
            raise
        except BaseException as raised:  # whatever a person's code raises
            error = raised
        if clock.over:  # whatever it made of being told so
            value, error = None, late(self._environment.seconds).with_traceback(_place_of(error))
        if error is None and not is_reward(value):
            return Said(value, False, None, time.perf_counter() - began)
        await self._close(number)
        return Said(value, True, error, time.perf_counter() - began)

    async def _close(self, number: int) -> str | None:
        playing = self._open.pop(number, None)
        if playing is None:
            return None
        try:
            await playing.clock.run(playing.generator.aclose())
            return None
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a person's code raises
            return _of_closing(late(self._environment.seconds) if playing.clock.over else error)


def _place_of(error: BaseException | None) -> TracebackType | None:
    return None if error is None else error.__traceback__


def is_reward(value: object) -> bool:
    """A number, numpy's too, or parts by name: what an async environment yields last."""
    if isinstance(value, (int, float, Mapping, Verdict)):
        return True
    return type(value).__module__ == "numpy" and not isinstance(value, str)


def told_limit(error: BaseException, seconds: float) -> BaseException:
    """What people are told in place of our own signal."""
    if not isinstance(error, TimeLimit):
        return error
    return late(seconds).with_traceback(error.__traceback__)


def _of_closing(error: BaseException) -> str:
    return f"raises {type(error).__name__} ({error})"
