"""The cluster, and the crews that this process has in it. Knows no engine."""

from __future__ import annotations

import functools
import logging
import os
import socket
import time
from typing import ClassVar

from customize import BackendError
from customize_ray.crew import RayCrew, has_free
from customize_torch.group.conductor import Conductor

_log = logging.getLogger(__name__)
_ANSWERING_S = 60.0  # until a cluster that begins at the same time answers
_FREED_S = 5.0  # until what ended workers held is told to be free


class Team:
    """A crew, and another one after it is lost, as often as ``restarts`` says.

    Teams of a process have workers beside one another where the cluster has room for them; where it
    has none for another one, those of an earlier one are ended, and begin anew when it is asked.
    """

    _working: ClassVar[list[Team]] = []  # from the one that has had its workers for longest

    def __init__(
        self,
        address: str,
        workers: int,
        cpus: float,
        on: str,
        timeout_s: float,
        restarts: int,
        room_s: float,
    ) -> None:
        _connect(address, workers, cpus)
        self._asked = (workers, cpus, _gpus(on, workers), timeout_s, room_s)
        self._left = restarts
        self._crew: RayCrew | None = None

    def conductor(self) -> Conductor:
        """Of the crew there is.

        Raises:
            BackendError: it was lost once too often.
        """
        if self._crew is None:
            self._begin()
        elif self._crew.is_over:
            if not self._left:
                raise BackendError(
                    "workers were lost more often than restarts allows. The last checkpoint is "
                    "whole: the same command goes on from it"
                )
            self._left -= 1
            self._begin()
        return self._conductor

    @property
    def most_together(self) -> int:
        """Workers on one machine, where most of them are."""
        assert self._crew is not None
        return self._crew.most_together

    def _begin(self) -> None:
        crew = RayCrew(*self._asked)
        if self in Team._working:
            Team._working.remove(self)
        _make_room(crew, Team._working)
        crew.begin()
        self._crew, self._conductor = crew, Conductor(crew)
        Team._working.append(self)

    def rest(self) -> None:
        """End the workers for those of another team; lost ones hold nothing, and stay counted."""
        if self._crew is not None and not self._crew.is_over:
            self._crew.make_room()
            self._crew = None


def _make_room(crew: RayCrew, others: list[Team]) -> None:
    """Have the others rest, one by one, until the cluster can hold the crew."""
    until = time.monotonic() + _FREED_S
    while others and not has_free(crew.wanted):
        if time.monotonic() < until:
            time.sleep(0.1)
            continue
        others.pop(0).rest()
        until = time.monotonic() + _FREED_S


team_of = functools.cache(Team)


def _connect(address: str, workers: int, cpus: float) -> None:
    """Join the cluster, or begin one of this machine alone, which ends with this process.

    Raises:
        BackendError: one is named, and cannot be joined.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    if ray.is_initialized():
        return
    quiet = {"include_dashboard": False, "log_to_driver": False}
    named = os.environ.get("RAY_ADDRESS") or "auto" if address == "auto" else address
    room = max(os.cpu_count() or 1, int(workers * cpus + 0.999))
    if named != "local":
        try:
            _await(named)
            ray.init(named, **quiet)
            return
        except (OSError, OverflowError, RuntimeError, ValueError) as error:
            if named != "auto" or not isinstance(error, ConnectionError):
                raise BackendError(_not_joined(named, error)) from error
        told = "no Ray cluster is at hand: one of this machine alone is begun, of %d processors"
        _log.warning(told, room)
    ray.init("local", num_cpus=room, **quiet)


def _await(named: str) -> None:
    """Wait until something listens at HOST:PORT; Ray alone would try for a quarter of an hour.

    Raises:
        OSError: nothing does.
    """
    host, _, port = named.rpartition(":")
    if "://" in named or not port.isdigit():
        return
    until, is_told = time.monotonic() + _ANSWERING_S, False
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > until:
                raise
            if not is_told:
                _log.warning("no Ray cluster answers at %s yet (%s)", named, error)
            is_told = True
            time.sleep(0.5)


def _not_joined(named: str, error: Exception) -> str:
    why = str(error).strip().partition("\n")[0]
    return (
        f"the Ray cluster at {named} cannot be joined ({why}): correct RAY_ADDRESS or address, set "
        "RAY_AUTH_MODE=token where the cluster asks for its token, or set address=local for one of "
        "this machine alone"
    )


def _gpus(on: str, workers: int) -> int:
    """How many each worker asks for."""
    import ray

    if on == "auto":
        return int(ray.cluster_resources().get("GPU", 0) >= workers)
    return int(on != "cpu")
