"""Queries answered together: each joins when there is a slot, and leaves at its end.

One thread works in turns. In a turn the runtime brings the answers that are under way on, those of
one adapter together. Knows no text, and not what computes.

Shape legend: V vocabulary.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import attrs
import numpy.typing as npt

from customize._errors import BackendError
from customize.interfaces.runtime import Query, Runtime, Said
from customize.packaging.answering import Answering


@attrs.define(eq=False)
class Underway:
    """A query that is answered, or waits for its slot."""

    query: Query
    _answering: Answering
    _cancelled: threading.Event
    _told: queue.SimpleQueue[Said | Exception | None] = attrs.field(factory=queue.SimpleQueue)
    _has_left: bool = False

    @property
    def tokens(self) -> Sequence[int]:
        """What was drawn so far."""
        return self._answering.tokens

    @property
    def is_over(self) -> bool:
        return self._answering.over or self._has_left or self._cancelled.is_set()

    def draw(self, logits_V: npt.ArrayLike) -> None:
        """Draw the next token, and tell it to who asked; what goes wrong is told to nobody else."""
        with told_to((self,)):
            self._told.put(self._answering.draw(logits_V))

    def end(self, error: Exception | None = None) -> None:
        """Tell who asked that nothing more comes, or why."""
        self._has_left = True
        self._told.put(error)

    def said(self) -> Iterator[Said]:
        """What is drawn, as it is drawn. Closing the iterator frees the slot."""
        try:
            while (told := self._told.get()) is not None:
                if isinstance(told, Exception):
                    raise told
                yield told
        finally:
            self._has_left = True


# The adapter, and its answers that are under way: none at last, when what they held can go.
Advance = Callable[[str | None, Sequence[Underway]], None]


class Batching:
    """The queries of a runtime. ``advance`` draws the next token of each answer it is given, or of
    those it can; it is called from one thread.
    """

    def __init__(self, runtime: Runtime, advance: Advance) -> None:
        self._runtime, self._advance = runtime, advance
        self._waiting: list[Underway] = []
        self._answers: list[Underway] = []
        self._served: set[str | None] = set()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="answering", daemon=True)
        self._thread.start()

    def submit(self, query: Query, cancelled: threading.Event | None = None) -> Underway:
        """Let a query wait for its slot.

        Raises:
            DataError, OptionError: as `Runtime.check`.
            BackendError: the runtime is closed.
        """
        self._runtime.check(query)
        answering = Answering(query, self._runtime.renderer, self._runtime.context)
        answer = Underway(query, answering, cancelled or threading.Event())
        with self._changed:
            if self._is_closed:
                raise _closed()
            self._waiting.append(answer)
            self._changed.notify()
        return answer

    def close(self) -> None:
        """End what is under way, and tell who asked that it was not answered to its end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while self._next_turn():
            for adapter, answers in self._by_adapter().items():
                with told_to(answers):
                    self._advance(adapter, answers)
        for answer in (*self._answers, *self._waiting):
            answer.end(_closed())

    def _next_turn(self) -> bool:
        """Let answers leave and others join; wait while there are none. False at the end."""
        with self._changed:
            self._waiting, self._answers = _kept(self._waiting), _kept(self._answers)
            if not self._answers and self._served:
                return not self._is_closed  # a turn in which what was held can go
            self._changed.wait_for(lambda: self._waiting or self._answers or self._is_closed)
            room = self._runtime.slots - len(self._answers)
            self._answers += self._waiting[:room]
            del self._waiting[:room]
            return not self._is_closed

    def _by_adapter(self) -> dict[str | None, list[Underway]]:
        """With those of the turn before, who may have nobody left."""
        groups: dict[str | None, list[Underway]] = {adapter: [] for adapter in self._served}
        for answer in self._answers:
            groups.setdefault(answer.query.adapter, []).append(answer)
        self._served = {adapter for adapter, answers in groups.items() if answers}
        return groups


@contextmanager
def told_to(answers: Sequence[Underway]) -> Iterator[None]:
    """Whatever goes wrong inside is raised to those who asked, and the others go on."""
    try:
        yield
    except Exception as error:
        for answer in answers:
            answer.end(error)


def _kept(answers: Sequence[Underway]) -> list[Underway]:
    for answer in answers:
        if answer.is_over:
            answer.end()
    return [answer for answer in answers if not answer.is_over]


def _closed() -> BackendError:
    return BackendError("this runtime is closed: open it again")
