"""Recipes: everything a run is told. Knows neither where it was written nor how it is checked."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from customize._options import option, options, options_to_dict
from customize._structuring import Faults, structure
from customize.interfaces.session import Adapter, Full, LoRA
from customize.training.evaluation_plan import EvaluationPlan, plan_of

# What a stage has of its own; all else is the run's.
OF_A_STAGE = (
    "data",
    "method",
    "options",
    "validation",
    "evaluate_every",
    "keep_best",
    "patience",
)

# Keys that change nothing of what was learnt; what a backend's change is in the lineage.
UNDECIDING = ("to", "observers", "backend", "backend_options", "evaluate", "skip_not_finite")


@options
class Recipe:
    """What is trained, on what, how, and where the run folder is.

    With ``stages`` the keys that a stage has of its own are those of the last one.
    """

    model: str = option(help="A plugin's name, a folder, a GGUF file or a hub id.")
    data: str = option(
        help="Rows to learn from: a file, a hub data set, or environment:NAME, which is taken "
        "where an environment comes with rows and none are given."
    )
    to: str = option(help="The run folder.")
    method: str = option(default="sft", help="The method's name.")
    options: Mapping[str, Any] = option(factory=dict, help="The method's own options.")
    adapter: Mapping[str, Any] | str = option(
        factory=dict,
        help="LoRA's options (rank, alpha, targets, rslora), 'full', or the folder of a finished "
        "run or of an adapter, to go on from.",
    )
    backend: str = option(default="auto", help="Where it runs; auto takes the best that can.")
    backend_options: Mapping[str, Any] = option(
        factory=dict, help="The backend's own options, such as dtype; backend must name it."
    )
    revision: str | None = option(default=None, help="Branch, tag or commit of a hub model.")
    validation: str | None = option(default=None, help="Held-out rows.")
    on_bad_rows: str = option(
        default="refuse",
        help="What to do with rows that cannot be used.",
        choices=("refuse", "skip"),
    )
    seed: int = option(default=0, help="Everything random is a function of it.", at_least=0)
    checkpoint_every: int = option(default=20, help="Steps between checkpoints.", at_least=1)
    evaluate_every: int = option(
        default=0, help="Steps between measures on the held-out rows; 0 is never.", at_least=0
    )
    keep_best: bool = option(
        default=False, help="The result is the weights that did best on the held-out rows."
    )
    patience: int = option(
        default=0,
        help="Stop after this many measures without a better one; 0 is never.",
        at_least=0,
    )
    skip_not_finite: int = option(
        default=0,
        help="Steps at most that are left out because a loss or gradient is not finite; one more "
        "stops the run. 0 stops at the first.",
        at_least=0,
    )

    observers: Mapping[str, Any] | tuple[str, ...] = option(
        factory=dict, help="Who is told of the run: names, or names with their options."
    )

    evaluate: Mapping[str, Any] | bool = option(
        default=True,
        help="The evaluation after training: of the held-out rows, none where it is false, or what "
        "is said here, with gates that must be passed.",
    )
    stages: tuple[Mapping[str, Any], ...] = option(
        default=(),
        help="Trained one after the other, each from where the one before ended. Each has "
        f"{', '.join(OF_A_STAGE)} of its own, and a name; with LoRA's options under adapter it "
        "trains a new one on top of the adapter of the stage before, which is continued else.",
    )

    def to_dict(self) -> dict[str, Any]:
        """Every field as JSON values."""
        return dict(options_to_dict(self))

    @property
    def hash(self) -> str:
        """sha256 of everything that decides what is learnt."""
        values = {k: v for k, v in self.to_dict().items() if k not in UNDECIDING}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def evaluation_chosen(self) -> EvaluationPlan | None:
        """The evaluation that ends the run; None where there is none."""
        if not isinstance(self.evaluate, Mapping):
            return EvaluationPlan() if self.evaluate else None
        faults = Faults()
        chosen = plan_of(self.evaluate, faults)
        faults.raise_if_any("the evaluation")
        return chosen

    def before(self) -> list[Self]:
        """A recipe for each stage but the last, whose own this is; their folders are inside."""
        return [
            type(self)(
                **{
                    **self.to_dict(),
                    **{key: stage[key] for key in OF_A_STAGE},
                    "to": str(Path(self.to, "stages", f"{number}-{stage['name']}")),
                    "stages": (),
                    "evaluate": False,
                }
            )
            for number, stage in enumerate(self.stages[:-1], start=1)
        ]

    def adapter_chosen(self) -> Adapter | Path:
        """The adapter the recipe names, or the folder to go on from."""
        if self.adapter == "full":
            return Full()
        if isinstance(self.adapter, str):
            return adapter_in(Path(self.adapter))
        return _lora(self.adapter)

    def adapter_of_stage(self, number: int, below: Path) -> Adapter | Path:
        """What the stage of that number, from 2, opens after one whose weights are in ``below``."""
        own = self.stages[number - 1].get("adapter")
        return below if own is None else _lora({**own, "on": str(below)})

    def observers_chosen(self) -> Mapping[str, Mapping[str, Any]]:
        """The names in ``observers``, each with its options."""
        given = self.observers
        return given if isinstance(given, Mapping) else {name: {} for name in given}


def _lora(values: Mapping[str, Any]) -> LoRA:
    faults = Faults()
    chosen = structure(LoRA, values, faults, "adapter.")
    faults.raise_if_any("the adapter")
    assert chosen is not None
    if chosen.on is None:
        return chosen
    return LoRA(**{**options_to_dict(chosen), "on": str(adapter_in(Path(chosen.on)))})


def adapter_in(folder: Path) -> Path:
    """A run's folder has its adapter inside."""
    return folder / "adapter" if (folder / "adapter").is_dir() else folder
