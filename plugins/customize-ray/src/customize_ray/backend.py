"""The backend ``ray``. Imports Ray and torch only when the workers are asked for."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import attrs

from customize import Backend, Engine, ModelFolder, option, options
from customize_torch.group.each import EACH
from customize_torch.holding import CAPABILITIES, PLAIN, capabilities_of

if TYPE_CHECKING:
    from customize_ray.cluster import Team

_WITHOUT = frozenset({"serve"})


@options
class Ray(Backend):
    """The torch engine in actors of a Ray cluster; this process computes nothing."""

    name = "ray"

    address: str = option(
        default="auto",
        help="The cluster's address; auto takes RAY_ADDRESS or the one this machine is in, and "
        "begins one of this machine alone where there is none, as local does.",
    )
    workers: int = option(default=2, help="Processes that compute.", at_least=1)
    cpus: float = option(default=1.0, help="Processors of each worker.", above=0)
    on: str = option(
        default="auto",
        help="The backend each worker computes on; auto gives each a GPU where the cluster has as "
        "many.",
        choices=("auto", *EACH),
    )
    on_options: Mapping[str, Any] = option(
        factory=dict, help="Options of that backend. A GPU's device is the worker's own."
    )
    timeout_s: float = option(
        default=600.0, help="Seconds that an operation may take; then all workers end.", above=0
    )
    room_s: float = option(
        default=0.0,
        help="Seconds that a cluster which grows by itself may take to make room for the workers; "
        "at 0 those that it has no room for now are refused.",
        at_least=0,
    )
    restarts: int = option(
        default=3,
        help="How often lost workers are replaced, and the run goes on from its last checkpoint.",
        at_least=0,
    )
    prove_every: int = option(
        default=100,
        help="Steps after which all workers prove anew, by a hash, that they hold the same "
        "weights; after the first they always do.",
        at_least=1,
    )
    # What the workers said of themselves when they were asked.
    said: Mapping[str, str | int] = attrs.field(factory=dict)
    said_of_machine: Mapping[str, str | int] = attrs.field(factory=dict)

    def probe(self) -> str | None:
        missing = [name for name in ("ray", "torch", "transformers") if find_spec(name) is None]
        return f"not installed: pip install {' '.join(missing)}" if missing else None

    def capabilities(self) -> frozenset[str]:
        base = self.on_options.get("base", PLAIN)
        return capabilities_of(CAPABILITIES, base) - _WITHOUT

    def settled(self, kept: Mapping[str, Any]) -> Backend:
        """As the first worker chooses: what this process is on decides nothing."""
        on = self.on if self.on != "auto" else kept.get("on", "auto")
        conductor = self._team().conductor()
        told, *_ = conductor.order("settle", on=on, options=dict(self.on_options), kept=dict(kept))
        chosen, numerics = told.value["options"], told.value["numerics"]
        said = {"on": told.value["on"], **numerics}
        machine = told.value["machine"]
        return attrs.evolve(  # type: ignore[misc]  # of attrs
            self, on_options=chosen, said=said, said_of_machine=machine
        )

    def numerics(self) -> Mapping[str, str | int]:
        """Not the number of workers: a run goes on with more or fewer, and rounds otherwise."""
        return self.said

    def machine(self) -> Mapping[str, str | int]:
        return {**self.said_of_machine, "processes": self.workers}

    def load(self, model: ModelFolder) -> Engine:
        from customize_ray.engine import RayEngine

        if not self.said:
            return self.settled({}).load(model)
        team = self._team()
        on = str(self.said["on"])
        return RayEngine(team, on, self.on_options, model, self.prove_every, _WITHOUT)

    def _team(self) -> "Team":
        from customize_ray.cluster import team_of

        return team_of(
            self.address,
            self.workers,
            self.cpus,
            self.on,
            self.timeout_s,
            self.restarts,
            self.room_s,
        )
