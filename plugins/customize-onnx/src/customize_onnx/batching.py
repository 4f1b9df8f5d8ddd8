"""Queries answered together: each joins when there is a slot, and leaves at its end.

One thread does the work, in turns. In a turn one chunk of one prompt is read, so that a long one
does not make the others wait; then each row that is past its prompt grows by a token, those of one
adapter together. Knows no text.

Shape legend: R rows, V vocabulary, T tokens of a prompt.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import attrs
import numpy as np

from customize import Answering, BackendError, Query, Renderer, Said
from customize_onnx.cache import Place, gathered
from customize_onnx.program import Floats, Program, whole

CHUNK = 256  # tokens of a prompt that are read in a turn


@attrs.define(eq=False)
class Row:
    """A query under way. read: tokens of its prompt that are in the cache."""

    query: Query
    answering: Answering
    place: Place
    cancelled: threading.Event
    told: queue.SimpleQueue[Said | Exception | None] = attrs.field(factory=queue.SimpleQueue)
    read: int = 0
    has_left: bool = False

    @property
    def is_read(self) -> bool:
        return self.read == len(self.query.tokens)

    @property
    def is_over(self) -> bool:
        return self.answering.over or self.has_left or self.cancelled.is_set()

    def said(self) -> Iterator[Said]:
        """What is drawn for it, as it is drawn. Closing the iterator frees the slot."""
        try:
            while (told := self.told.get()) is not None:
                if isinstance(told, Exception):
                    raise told
                yield told
        finally:
            self.has_left = True


class Batching:
    """Rows of one program. ``slots``: how many are under way at once; ``context``: its longest."""

    def __init__(self, program: Program, renderer: Renderer, slots: int, context: int) -> None:
        self._program, self._renderer = program, renderer
        self._slots, self._context = slots, context
        self._waiting: deque[Row] = deque()
        self._rows: list[Row] = []
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name="customize-onnx", daemon=True)
        self._thread.start()

    def submit(self, query: Query, cancelled: threading.Event | None = None) -> Row:
        """Let a query wait for its slot."""
        place = Place(self._program.empty(), 0)
        answering = Answering(query, self._renderer)
        row = Row(query, answering, place, cancelled or threading.Event())
        with self._changed:
            if self._is_closed:
                raise BackendError("this runtime is closed: open the package again")
            self._waiting.append(row)
            self._changed.notify()
        return row

    def close(self) -> None:
        """Queries under way end where they are."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while self._next_turn():
            unread = [row for row in self._rows if not row.is_read]
            if unread:
                self._guarded(self._read, unread[:1])
            for rows in self._together():
                self._guarded(self._step, rows)
        for row in (*self._rows, *self._waiting):
            row.told.put(None)

    def _next_turn(self) -> bool:
        """Let rows leave and others join; wait while there are none. False at the end."""
        with self._changed:
            self._waiting = deque(self._kept(self._waiting))
            self._rows = self._kept(self._rows)
            self._changed.wait_for(lambda: self._waiting or self._rows or self._is_closed)
            while self._waiting and len(self._rows) < self._slots:
                self._rows.append(self._waiting.popleft())
            return not self._is_closed

    def _kept(self, rows: Iterable[Row]) -> list[Row]:
        for row in rows:
            if row.is_over:
                row.told.put(None)
        return [row for row in rows if not row.is_over]

    def _together(self) -> list[list[Row]]:
        groups: dict[str | None, list[Row]] = {}
        for row in self._rows:
            if row.is_read and not row.is_over:
                groups.setdefault(row.query.adapter, []).append(row)
        return list(groups.values())

    def _guarded(self, work: Callable[[list[Row]], None], rows: list[Row]) -> None:
        """Whatever goes wrong is raised to those who asked, and the others go on."""
        try:
            work(rows)
        except Exception as error:
            for row in rows:
                row.told.put(error)
                row.has_left = True

    def _read(self, rows: list[Row]) -> None:
        (row,) = rows
        tokens = row.query.tokens[row.read : row.read + CHUNK]
        logits, cache = self._program.run(whole(tokens), row.place.cache, 1, row.query.adapter)
        row.place, row.read = Place(cache, 0), row.read + len(tokens)
        if row.is_read:
            self._draw(row, logits[0, 0])

    def _step(self, rows: list[Row]) -> None:
        last_R1 = np.array([row.answering.tokens[-1:] for row in rows])
        cache = gathered([row.place for row in rows])
        logits, cache = self._program.run(last_R1, cache, 1, rows[0].query.adapter)
        for number, row in enumerate(rows):
            row.place = Place(cache, number)
            self._draw(row, logits[number, 0])

    def _draw(self, row: Row, logits_V: Floats) -> None:
        row.told.put(row.answering.draw(logits_V))
        if len(row.query.tokens) + len(row.answering.tokens) == self._context:
            row.answering.over = True
