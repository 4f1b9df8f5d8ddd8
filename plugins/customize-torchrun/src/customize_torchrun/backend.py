"""The backend ``torchrun``. Imports torch only when the processes meet."""

import logging
import sys
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
    Unsupported,
    option,
    options,
)
from customize_torch.group.each import EACH, WITHOUT, each_on, loaded
from customize_torch.own_options import INSIDE
from customize_torchrun.launch import forget_launch, launched

if TYPE_CHECKING:
    from customize_torchrun.crew import Launched

_log = logging.getLogger(__name__)
_ALONE = (
    "torchrun did not begin this command: one process alone computes, as the backend %s would. For "
    "more, begin it with torchrun --nproc-per-node N -m customize …"
)
_NOT_BEGUN = (
    "processes={0}, and torchrun did not begin this command: begin it with torchrun "
    "--nproc-per-node {0} -m customize …, or leave processes out"
)
_ONE = (
    "one process is counted, which holds all, for torchrun did not begin this command: "
    "--set backend_options.processes=N counts N"
)


@options
class Torchrun(Backend):
    """The torch engine in every process that torchrun started; in one alone without it."""

    name = "torchrun"

    on: str = option(
        default="auto",
        help="The backend each process computes on; auto takes the best that can run.",
        choices=("auto", *EACH),
    )
    on_options: Mapping[str, Any] = option(
        factory=dict, help="Options of that backend. A GPU's device is the process's own."
    )
    shard: bool = option(
        default=False,
        help="Hold the base's layers in pieces over the processes, for one that a device does not "
        "hold: slower, and sampling is not spread.",
    )
    timeout_s: float = option(
        default=600.0,
        help="Seconds that one process may keep the others waiting in an operation; then all end.",
        above=0,
    )
    silence_s: float = option(
        default=10.0,
        help="Seconds that a process may be without a sign of life; then all end.",
        above=0,
    )
    prove_every: int = option(
        default=100,
        help="Steps after which all processes prove anew, by a hash, that they hold the same "
        "weights; after the first they always do.",
        at_least=1,
    )
    processes: int = option(
        default=0,
        help="Processes that a plan counts where torchrun did not begin the command; 0 counts one.",
        at_least=0,
    )

    def probe(self) -> str | None:
        missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
        return f"not installed: pip install {' '.join(missing)}" if missing else None

    def capabilities(self) -> frozenset[str]:
        own = self._each().capabilities()
        return own - WITHOUT if self.shard else own

    def settled(self, kept: Mapping[str, Any]) -> Backend:
        each = self._each(kept.get("on")).settled(kept)
        made = {**attrs.asdict(self), "on": each.name, "on_options": attrs.asdict(each)}  # type: ignore[arg-type]  # it is of attrs
        return Torchrun(**made)

    def numerics(self) -> Mapping[str, str | int]:
        """Not the number of processes: a run goes on with more or fewer, and rounds otherwise."""
        return {"on": self._each().name, **self._each().numerics()}

    def may_change(self) -> frozenset[str]:
        return self._each().may_change()

    def memory(
        self, shape: ModelShape, adapter: Adapter, largest: int, step_tokens: float
    ) -> Mapping[str, float]:
        """Of one process."""
        world = self._world()
        found = dict(self._each().memory(shape, adapter, largest, step_tokens / world))
        if self.shard and "weights" in found:
            layers = found["weights"] * shape.linear_parameters / shape.num_parameters
            at_once = min(1.0, 1 / world + 2 / shape.num_layers)  # the next one is being gathered
            found["weights"] -= layers * (1 - at_once)
        return found

    def sampling_memory(self, shape: ModelShape, rows: int, tokens: int) -> Mapping[str, float]:
        """Of one process, which draws its share."""
        world = 1 if self.shard else self._world()
        return self._each().sampling_memory(shape, -(-rows // world), -(-tokens // world))

    def available_bytes(self) -> float | None:
        """For one process: where they compute on processors those of a machine share its memory."""
        each, launch = self._each(), launched()
        free = each.available_bytes()
        if free is None or each.name != "cpu":
            return free
        return free / (launch.local_world if launch else self._world())

    def smaller(self, largest: int) -> Sequence[Smaller]:
        """What each process could do; pieces of a rounded base are not dealt out."""
        each = [one for one in self._each().smaller(largest) if one.exact or not self.shard]
        return [attrs.evolve(one, option=f"{INSIDE}.{one.option}") for one in each]

    def remarks(self) -> Sequence[str]:
        if launched() is not None or self.processes:
            return ()
        return (_ONE,)

    def hardware(self) -> Mapping[str, str]:
        launch = launched()
        found = dict(self._each().hardware())
        if launch is None:
            found["processes"] = "1, since torchrun began none: gloo and NCCL were not tried"
        else:
            found["processes"] = str(launch.world)
        return found

    def machine(self) -> Mapping[str, str | int]:
        pieces = {"sharded": "yes"} if self.shard else {}
        return {**self._each().machine(), "processes": self._world(), **pieces}

    def follow(self) -> None:
        crew = self._crew()
        if crew is None or crew.launch.rank == 0:
            return
        crew.serve()
        sys.exit(0)

    def load(self, model: ModelFolder) -> Engine:
        crew, each = self._crew(), self._each().settled({})
        if crew is None:
            if self.shard:
                raise Unsupported("shard needs several processes: begin the command with torchrun")
            if self._world() > 1:
                raise Unsupported(_NOT_BEGUN.format(self.processes))
            if launched() is None:
                _log.warning(_ALONE, each.name)
            return loaded(each, model, self.name)
        from customize_torchrun.engine import LaunchedEngine, conductor_of

        return LaunchedEngine(
            conductor_of(crew),
            self.name,
            each.name,
            attrs.asdict(each),  # type: ignore[arg-type]  # it is of attrs
            model,
            self.prove_every,
            shard=self.shard,
        )

    def _crew(self) -> "Launched | None":
        if launched() is None:
            return None
        from customize_torchrun.crew import crew_of

        return crew_of(self.timeout_s, self.silence_s, self._each().name != "cpu")

    def _world(self) -> int:
        """Processes: those there are, or those to plan for."""
        return launch.world if (launch := launched()) else max(1, self.processes)

    def _each(self, kept: str | None = None) -> Backend:
        launch = launched()
        if launch is not None and launch.world > 1:
            forget_launch()  # what each computes on is not a backend of all of them
        name = self.on if self.on != "auto" else kept or "auto"
        return each_on(name, self.on_options)
