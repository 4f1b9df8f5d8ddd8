"""Environments in a process of their own, which is killed when it hangs. Knows no tokens.

Lines of JSON go both ways, so nothing that comes back can be more than a value.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import attrs

from customize._errors import OptionError, OutOfRoom
from customize.interfaces.dataset import Row
from customize.interfaces.environment import Environment, Reply, ToolCall, Turn, Verdict
from customize.rollouts.limits import late
from customize.rollouts.stages import Said, Sent

_START_S = 60.0  # imports of the environment's module included
_MOST_BYTES = 2**24
_ANSWERS = frozenset(
    map(frozenset, ((), ("yielded",), ("returned",), ("raised", "told", "traceback")))
)
_TURN, _VERDICT = (frozenset(attrs.fields_dict(each)) for each in (Turn, Verdict))
Line = dict[str, Any]  # JSON values


class WorkerError(Exception):
    """What was raised in the worker, under the name it had there; a crash, or a time limit."""

    def __init__(self, kind: str, told: str, traceback: str = "") -> None:
        super().__init__(told)
        self.kind = kind
        self.traceback = traceback


@attrs.define
class _Open:
    """An episode: what it was sent and what it said, to be played again in a new worker."""

    row: Row
    seed: int
    worker: int = 0
    asked: list[Line] = attrs.field(factory=list)
    answers: list[Line] = attrs.field(factory=list)


class Isolated:
    """One worker at a time. When it is killed, the other episodes are played again to where they
    were; one that says something else then has failed."""

    def __init__(self, environment: Environment) -> None:
        function = environment.function
        if function.__module__ == "__main__" or "<" in function.__qualname__:
            raise OptionError(
                f"the environment {environment.name} is isolated: define it in a module that can "
                f"be imported (it is {function.__module__}:{function.__qualname__})"
            )
        self._environment = environment
        self._worker: _Worker | None = None
        self._open: dict[int, _Open] = {}
        self._begun = 0

    def __enter__(self) -> Isolated:
        return self

    def __exit__(self, *raised: object) -> None:
        for number in list(self._open):
            self.close(number)
        if self._worker is not None:
            self._worker.kill()

    def begin(self, row: Row, seed: int) -> int:
        self._begun += 1
        self._open[self._begun] = _Open(row, seed)
        return self._begun

    def send(self, sent: Sequence[tuple[int, Sent]]) -> list[Said]:
        return [self._send(number, what) for number, what in sent]

    def close(self, number: int) -> str | None:
        episode = self._open.pop(number, None)
        worker = self._worker
        if episode is None or worker is None or episode.worker != worker.number:
            return None  # its process is gone, and all of it
        try:
            answer = self._ask({"do": "close", "episode": number})
        except WorkerError as error:
            return f"raises {error.kind} ({error})"
        return f"raises {answer['raised']} ({answer['told']})" if "raised" in answer else None

    def _send(self, number: int, what: Sent) -> Said:
        episode = self._open[number]
        began = time.perf_counter()
        asked = {"episode": number, **_asking(episode, what)}
        try:
            self._bring_up(number, episode)
            answer = self._ask(asked)
        except WorkerError as error:
            return self._ended(number, None, error, began)
        episode.asked.append(asked)
        episode.answers.append(answer)
        if "raised" in answer:
            raised = WorkerError(answer["raised"], answer["told"], answer["traceback"])
            return self._ended(number, None, raised, began)
        if "returned" in answer:
            return self._ended(number, _reward(answer["returned"]), None, began)
        return Said(_turn(answer["yielded"]), False, None, time.perf_counter() - began)

    def _bring_up(self, number: int, episode: _Open) -> None:
        """Play the episode again where its worker is gone."""
        if self._worker is None or not self._worker.alive:
            self._worker = _Worker(self._environment, 1 + getattr(self._worker, "number", 0))
        if episode.worker == self._worker.number:
            return
        episode.worker = self._worker.number
        for asked, answer in zip(episode.asked, episode.answers, strict=True):
            if self._ask(asked) != answer:
                told = (
                    "another episode's end took its process, and it plays otherwise a second time"
                )
                raise WorkerError("RuntimeError", told)

    def _ask(self, asked: Line) -> Line:
        assert self._worker is not None
        return self._worker.ask(asked, self._environment.seconds)

    def _ended(self, number: int, value: Any, error: WorkerError | None, began: float) -> Said:
        self._open.pop(number)
        return Said(value, True, error, time.perf_counter() - began)


class _Worker:
    """A process, asked line by line."""

    def __init__(self, environment: Environment, number: int) -> None:
        self.number = number
        self.alive = True
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "customize.rollouts.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert self._process.stdout is not None
        self._answers = self._process.stdout
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._answers, selectors.EVENT_READ)
        self._left = b""
        function = environment.function
        told = {"module": function.__module__, "name": function.__qualname__}
        self._write({**told, "parameters": dict(environment.parameters)})
        self._first = True

    def ask(self, asked: Line, seconds: float) -> Line:
        """The answer.

        Raises:
            WorkerError: there was none in time, or the process ended; it is gone then.
        """
        limit = _START_S + seconds if self._first else seconds
        try:
            self._write(asked)
            line = self._read(time.monotonic() + limit)
            self._first = False
            return self._parsed(line)
        except TimeoutError:
            self.kill()
            raise WorkerError("TimeoutError", str(late(seconds))) from None
        except (OSError, ValueError) as error:
            self.kill()
            code = self._process.returncode
            raise WorkerError("Crash", f"its process ended ({error}; exit code {code})") from None

    def kill(self) -> None:
        """End the process, whatever it does."""
        self.alive = False
        self._process.kill()
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                assert pipe is not None
                pipe.close()
        self._process.wait()

    def _write(self, value: Line) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value).encode() + b"\n")
        self._process.stdin.flush()

    def _read(self, deadline: float) -> bytes:
        while b"\n" not in self._left:
            if not self._selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            more = os.read(self._answers.fileno(), 2**16)
            if not more:
                raise OSError("nothing more came")
            self._left += more
            if len(self._left) > _MOST_BYTES:
                raise OSError(f"it said more than {_MOST_BYTES} bytes at once")
        line, _, self._left = self._left.partition(b"\n")
        return line

    def _parsed(self, line: bytes) -> Line:
        value = json.loads(line)
        if not isinstance(value, dict) or frozenset(value) not in _ANSWERS:
            raise ValueError("it answered otherwise than agreed")
        return value


def _asking(episode: _Open, what: Sent) -> Line:
    if what is None:
        return {"do": "begin", "row": episode.row, "seed": episode.seed}
    if isinstance(what, OutOfRoom):
        return {"do": "throw", "told": str(what)}
    return {"do": "send", "reply": attrs.asdict(what)}


def reply_of(told: Mapping[str, Any]) -> Reply:
    """A reply from what was sent of it."""
    calls = tuple(ToolCall(**call) for call in told["calls"])
    return Reply(**{**told, "calls": calls, "faults": tuple(told["faults"])})


def _turn(value: Any) -> Any:  # what a person's generator yielded
    told = value.get("turn") if isinstance(value, dict) else None
    return Turn(**told) if isinstance(told, dict) and told.keys() == _TURN else value


def _reward(value: Any) -> Any:  # what a person's generator returned
    told = value.get("verdict") if isinstance(value, dict) else None
    if not isinstance(told, dict) or told.keys() != _VERDICT:
        return value
    calls = {name: (number, seconds) for name, (number, seconds) in told["calls"].items()}
    return Verdict(**{**told, "calls": calls})
