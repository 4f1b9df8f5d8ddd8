"""Actors of a Ray cluster as a crew. Knows no work.

When one is lost, all are: torch's groups do not outlive a member.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError

from customize import BackendError, Unsupported, WorkerLost
from customize_ray.worker import LOOPBACK, Worker
from customize_torch.group.crew import Beside, Crew, raise_refusals
from customize_torch.group.parcel import Array, Parcel, unpack

_log = logging.getLogger(__name__)
_BEGINNING_S = 300.0  # until a cluster has made room, and torch is imported
_SOON = 0.1  # of the time that workers are waited for, until this is told
_MADE_ROOM = (
    "the workers made room for others of this process, since the cluster has none for both: give "
    "both the same options address, workers, cpus, on, timeout_s, restarts and room_s, with which "
    "they share their workers, or use a cluster that has room for both before it grows"
)
_CAUSE_S = 5.0  # a lost actor's peers may raise before Ray knows of the loss


class RayCrew(Crew):
    """``world`` workers with so many processors each, and a GPU each where ``gpus`` is 1.

    They begin with ``begin``. room_s: that the cluster may take to grow for them. wanted: what they
    take of it, by Ray's names. is_over: whether some were lost, and so all. most_together: of them
    on one machine.
    """

    is_first_here = False

    def __init__(self, world: int, cpus: float, gpus: int, timeout_s: float, room_s: float) -> None:
        self.world = world
        self.is_over = False
        self.wanted = {"CPU": world * cpus, "GPU": float(world * gpus)}
        self._each = {"num_cpus": cpus, "num_gpus": gpus}
        self._timeout_s, self._room_s = timeout_s, room_s
        self._has_made_room = False
        if not room_s:
            self._refuse_too_many()

    def begin(self) -> None:
        """Have the cluster begin them, and wait until they have met.

        Raises:
            WorkerLost: it does not in time, or some are lost.
        """
        made = ray.remote(max_restarts=0, **self._each)(Worker)
        self._workers = [made.remote(rank, self.world) for rank in range(self.world)]
        self._meet(self.wanted["GPU"] > 0, self._room_s)

    def order(
        self, value: Mapping[str, Any], arrays: Mapping[str, Array], beside: Beside
    ) -> list[Parcel]:
        parcel = Parcel(value, arrays)
        label, content = parcel.label(), ray.put(parcel.content())
        asked = [worker.do.remote(label, content) for worker in self._workers]
        replies = [unpack(*told) for told in self._answers(asked, self._timeout_s, _too_long)]
        raise_refusals(replies, first=0)
        return replies

    def end(self) -> None:
        """Give all workers up."""
        self.is_over = True
        for worker in self._workers:
            with suppress(RayError):
                ray.kill(worker)
        self._workers = []

    def make_room(self) -> None:
        """Give them up for those of another crew, which is told where they are asked again."""
        self._has_made_room = True
        self.end()

    def _meet(self, devices: bool, room_s: float) -> None:
        asked = [w.where.remote() for w in self._workers]
        within_s = room_s + _BEGINNING_S
        if ray.wait(asked, num_returns=self.world, timeout=_SOON * within_s)[1]:
            _log.warning("the Ray cluster has not begun all workers yet: %s", self._room())
        places = self._answers(asked, within_s, self._too_little_room)
        is_one_machine = len({node for node, _ in places}) == 1
        self.most_together = max(Counter(node for node, _ in places).values())
        address = LOOPBACK if is_one_machine else places[0][1]
        hosting = [self._workers[0].host.remote(address)]
        (port,) = self._answers(hosting, _BEGINNING_S, _out_of_reach)
        meeting = (address, port, self._timeout_s, devices)
        meetings = [w.meet.remote(*meeting) for w in self._workers]
        self._answers(meetings, _BEGINNING_S, _out_of_reach)

    def _answers(self, asked: Sequence[Any], within_s: float, why: Callable[[], str]) -> list[Any]:
        """What each says; ``why`` tells what may be wrong where one says nothing.

        Ray's references and what they stand for have no types.
        """
        if self._has_made_room:
            raise BackendError(_MADE_ROOM)
        if self.is_over:
            raise WorkerLost("the workers were given up: open the run anew, or repeat the command")
        try:
            return list(ray.get(list(asked), timeout=within_s))
        except GetTimeoutError:
            ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=0)
            late = [rank for rank, one in enumerate(asked) if one not in ready]
            told = f"{_named(late)} did not answer within {within_s:g} s: {why()}"
            self.end()
            raise WorkerLost(told) from None
        except RayError as error:
            self._fail(asked, error)

    def _refuse_too_many(self) -> None:
        """Ray would wait for ever for what a cluster will never have."""
        there = ray.cluster_resources()
        for name, wanted in self.wanted.items():
            if wanted > there.get(name, 0):
                raise Unsupported(
                    f"{self.world} workers want {wanted:g} {name}s, and the cluster has "
                    f"{there.get(name, 0):g}: lower workers, or cpus, or set on=cpu; where it "
                    "grows by itself, set room_s to the seconds that this may take"
                )

    def _room(self) -> str:
        """What they want, and what of it there is."""
        free, there = ray.available_resources(), ray.cluster_resources()
        return ", ".join(
            f"they want {wanted:g} {name}s, and {free.get(name, 0):g} of {there.get(name, 0):g} "
            "are free beside what has begun"
            for name, wanted in self.wanted.items()
            if wanted
        )

    def _too_little_room(self) -> str:
        return (
            f"{self._room()}. End what holds the others, lower workers or cpus, or let them wait "
            "longer with room_s"
        )

    def _fail(self, asked: Sequence[Any], error: RayError) -> NoReturn:
        """Raise why: a loss before what its peers raise because of it."""
        until = time.monotonic() + _CAUSE_S
        found: dict[int, RayError] = {}
        while time.monotonic() < until and not any(map(_is_loss, found.values())):
            ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_CAUSE_S / 10)
            found = {rank: e for rank, one in enumerate(asked) if one in ready and (e := _of(one))}
        self.end()
        lost = [rank for rank, one in found.items() if _is_loss(one)]
        if lost:
            told = str(found[lost[0]]).strip().splitlines()[0]
            raise WorkerLost(f"{_named(lost)} is gone ({told})") from error
        rank = min(found)
        told = str(found[rank]).strip().splitlines()[-1]
        raise BackendError(f"process {rank} raised {told}") from error


def has_free(wanted: Mapping[str, float]) -> bool:
    """Whether the cluster has as much free; Ray counts in ten-thousandths."""
    free = ray.available_resources()
    return all(round(amount - free.get(name, 0.0), 4) <= 0 for name, amount in wanted.items())


def _too_long() -> str:
    return "set timeout_s higher if its work takes longer, as loading a large base may"


def _out_of_reach() -> str:
    return "the machines of the workers must reach one another"


def _of(reference: Any) -> RayError | None:
    try:
        ray.get(reference)
    except RayError as error:
        return error
    return None


def _is_loss(error: RayError) -> bool:
    return isinstance(error, RayActorError)


def _named(ranks: Sequence[int]) -> str:
    return f"process {', '.join(map(str, ranks))}"
