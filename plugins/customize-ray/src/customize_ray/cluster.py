"""The cluster, and the one crew that this process has in it. Knows no engine."""

from __future__ import annotations

import functools
import os

from customize import BackendError
from customize_ray.crew import RayCrew
from customize_torch.group.conductor import Conductor


class Team:
    """A crew, and another one after it is lost, as often as ``restarts`` says."""

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
        self._begin()

    def conductor(self) -> Conductor:
        """Of the crew there is.

        Raises:
            BackendError: it was lost once too often.
        """
        if self._crew.is_over:
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
        return self._crew.most_together

    def _begin(self) -> None:
        self._crew = RayCrew(*self._asked)
        self._conductor = Conductor(self._crew)


team_of = functools.cache(Team)


def _connect(address: str, workers: int, cpus: float) -> None:
    """Join the cluster, or begin one of this machine alone, which ends with this process."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    if ray.is_initialized():
        return
    quiet = {"include_dashboard": False, "log_to_driver": False}
    if address != "local":
        try:
            ray.init(address, **quiet)
            return
        except ConnectionError as error:
            if address != "auto":
                raise BackendError(f"no Ray cluster answers at {address}: {error}") from error
    room = max(os.cpu_count() or 1, int(workers * cpus + 0.999))
    ray.init("local", num_cpus=room, **quiet)


def _gpus(on: str, workers: int) -> int:
    """How many each worker asks for."""
    import ray

    if on == "auto":
        return int(ray.cluster_resources().get("GPU", 0) >= workers)
    return int(on != "cpu")
