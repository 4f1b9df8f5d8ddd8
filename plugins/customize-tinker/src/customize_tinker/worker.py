"""The thread that computes. Knows neither models nor clients.

Tenants take turns; the jobs of one are done in the order they came, but for those that join
another's batch, which are samples and change nothing.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence

import attrs

_log = logging.getLogger("customize.tinker")
_GATHER_S = 0.001  # what a sample waits for others that are on their way


@attrs.frozen(eq=False)
class Job:
    """run: given every job it was joined with, itself the first. joins: equal for those that may.

    size: rows that it adds to a batch.
    """

    tenant: str
    run: Callable[[Sequence[Job]], None]
    joins: Hashable | None = None
    payload: object = None
    size: int = 1


class Worker:
    """Jobs are done on one thread, one at a time."""

    def __init__(self, max_joined: int) -> None:
        self._max_joined = max_joined
        self._queues: OrderedDict[str, deque[Job]] = OrderedDict()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="customize-tinker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish the job at hand, and no other."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def submit(self, job: Job) -> None:
        with self._changed:
            self._queues.setdefault(job.tenant, deque()).append(job)
            self._changed.notify()

    def withdraw(self, job: Job) -> None:
        """Not to be done, if it has not begun."""
        with self._changed:
            queue = self._queues.get(job.tenant)
            if queue is not None and job in queue:
                queue.remove(job)
                if not queue:
                    del self._queues[job.tenant]

    def _work(self) -> None:
        while jobs := self._next():
            try:
                jobs[0].run(jobs)
            except Exception:  # a job tells its own failures: this is a mistake of ours
                _log.exception("a job of the worker failed")

    def _next(self) -> list[Job]:
        """The next job, and those that join it; nothing when it is time to stop."""
        with self._changed:
            while not self._queues and not self._stopping:
                self._changed.wait()
            if self._stopping:
                return []
            first = self._take()
            if first.joins is None:
                return [first]
            jobs, rows = [first], first.size
            while rows < self._max_joined:
                found = self._joining(first.joins, self._max_joined - rows)
                if not found and not self._changed.wait(_GATHER_S):
                    break
                jobs += found
                rows += sum(job.size for job in found)
            return jobs

    def _take(self) -> Job:
        tenant, queue = next(iter(self._queues.items()))
        job = queue.popleft()
        self._queues.move_to_end(tenant)
        if not queue:
            del self._queues[tenant]
        return job

    def _joining(self, joins: Hashable, room: int) -> list[Job]:
        found: list[Job] = []
        for tenant, queue in list(self._queues.items()):
            for job in list(queue):
                if job.joins == joins and job.size <= room:
                    room -= job.size
                    queue.remove(job)
                    found.append(job)
            if not queue:
                del self._queues[tenant]
        return found
