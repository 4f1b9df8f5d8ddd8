"""The backend ``ray``. Imports Ray and torch only when the workers are asked for."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import attrs

from customize import (
    Adapter,
    Backend,
    Engine,
    ModelFolder,
    ModelShape,
    Smaller,
    option,
    options,
)
from customize_torch.estimating import changes
from customize_torch.group.each import EACH
from customize_torch.holding import CAPABILITIES, MAY_CHANGE, PLAIN, capabilities_of
from customize_torch.own_options import INSIDE

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
        "begins one of this machine alone where neither is there, as local does.",
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
        default=600.0,
        help="Seconds that an operation may take, loading too; then all workers end.",
        above=0,
    )
    room_s: float = option(
        default=0.0,
        help="Seconds that a cluster which grows by itself may take to make room for the workers, "
        "beside the five minutes that a busy one has; at 0 those are refused that it will never "
        "have room for.",
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

    def may_change(self) -> frozenset[str]:
        return MAY_CHANGE

    def memory(
        self, shape: ModelShape, adapter: Adapter, largest: int, step_tokens: float
    ) -> Mapping[str, float]:
        """Of one worker, as the first one says."""
        from customize_torch.group.packing import adapter_out

        asked = {"shape": attrs.asdict(shape), "adapter": adapter_out(adapter)}
        share = step_tokens / self.workers
        return self._asked("memory", **asked, largest=largest, step_tokens=share)[0]

    def sampling_memory(self, shape: ModelShape, rows: int, tokens: int) -> Mapping[str, float]:
        """Of one worker, which draws its share."""
        share = {"rows": -(-rows // self.workers), "tokens": -(-tokens // self.workers)}
        return self._asked("sampling memory", shape=attrs.asdict(shape), **share)[0]

    def available_bytes(self) -> float | None:
        """For the worker that has least: on processors those of a machine share its memory."""
        free = [told["bytes"] for told in self._asked("room")]
        if None in free:
            return None
        shared = self._team().most_together if self.said["on"] == "cpu" else 1
        return float(min(free)) / shared

    def smaller(self, largest: int) -> Sequence[Smaller]:
        """What each worker could do; nothing is known of it before it was asked."""
        if not self.said:
            return []
        each = self.on_options
        found = changes(each["token_budget"], each["recompute"], each["base"], largest)
        return [attrs.evolve(one, option=f"{INSIDE}.{one.option}") for one in found]

    def machine(self) -> Mapping[str, str | int]:
        return {**self.said_of_machine, "processes": self.workers}

    def load(self, model: ModelFolder) -> Engine:
        from customize_ray.engine import RayEngine

        if not self.said:
            return self.settled({}).load(model)
        team = self._team()
        on = str(self.said["on"])
        return RayEngine(team, on, self.on_options, model, self.prove_every, _WITHOUT)

    def _asked(self, what: str, **about: Any) -> list[Mapping[str, Any]]:
        """What each worker says of its backend; ``about`` is what JSON can say."""
        told = {"on": self.said["on"], "options": dict(self.on_options), **about}
        return [reply.value for reply in self._team().conductor().order(what, **told)]

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
