"""A plan beside what happened, and what that says of this machine. Plans nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from customize._files import replace_text
from customize.planning.plan import Plan
from customize.planning.rates import evaluating_on, holding_on, remember
from customize.runs.folder import RunFolder, differing_keys, processor
from customize.training.recipe import UNDECIDING


@attrs.frozen
class Happened:
    """Of a finished run. planned_s, planned_bytes: None where the plan did not say.

    evaluation_s: of the evaluation that ended it; None where none did.
    """

    seconds: float
    planned_s: float | None
    evaluation_s: float | None
    planned_evaluation_s: float | None
    peak_bytes: float | None
    planned_bytes: float | None

    def lines(self) -> list[str]:
        """For a terminal."""
        planned = _planned(self.planned_s, _seconds)
        lines = [f"The run is finished: training took {_seconds(self.seconds)}{planned}."]
        if self.evaluation_s is not None:
            planned = _planned(self.planned_evaluation_s, _seconds)
            lines.append(f"Its evaluation took {_seconds(self.evaluation_s)}{planned}.")
        if self.peak_bytes is not None:
            planned = _planned(self.planned_bytes, _gigabytes)
            lines.append(f"At most {_gigabytes(self.peak_bytes)} were held{planned}.")
        return lines


def _planned(amount: float | None, told: Callable[[float], str]) -> str:
    return "" if amount is None else f", planned {told(amount)}"


def _seconds(amount: float) -> str:
    return f"{amount:.0f} s"


def _gigabytes(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.2f} GB"


def differing(plan: Plan, folder: RunFolder) -> list[str]:
    """In what a finished run is another one than what is planned; nothing where it is the same, or
    there is none.
    """
    if not folder.finished:
        return []
    ran = [stage.lineage() for stage in (*folder.before, folder)]
    planned: dict[str, Any] = {"backend": plan.backend, "processor": processor()}
    if ran[-1]["backend"] == plan.backend:
        planned["backend_options"] = plan.numerics
    return [
        *differing_keys(_deciding(folder.recipe().to_dict()), _deciding(plan.recipe)),
        *differing_keys({key: ran[-1][key] for key in planned}, planned),
        *(["data"] if [one["data"] for one in ran] != [one.data for one in plan.stages] else []),
    ]


def _deciding(recipe: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keys that change what a run does; a backend is held to what it settled on."""
    ignored = set(UNDECIDING) - {"evaluate"}
    return {key: value for key, value in recipe.items() if key not in ignored}


def compared(plan: Plan, folder: RunFolder) -> Happened | None:
    """What a finished run took, kept in its ``plan.json`` with the plan; None of any other run.

    A run that was stopped and went on was not timed as a whole, and says nothing; nor does one of
    another recipe, backend or processor.
    """
    if not folder.finished or differing(plan, folder):
        return None
    costs = [stage.cost() or {"whole": False} for stage in (*folder.before, folder)]
    if not all(cost["whole"] for cost in costs):
        return None
    seconds = sum(cost["seconds"] for cost in costs)
    peaks = [cost["peak_bytes"] for cost in costs if cost["peak_bytes"]]
    found = Happened(
        seconds=seconds,
        planned_s=None if plan.seconds is None else plan.seconds[0],
        evaluation_s=costs[-1].get("evaluation_s"),
        planned_evaluation_s=None
        if plan.evaluation_seconds is None
        else plan.evaluation_seconds[0],
        peak_bytes=max(peaks, default=None),
        planned_bytes=plan.num_bytes or None,
    )
    name = str(folder.path.absolute())
    remember(plan.machine, name, plan.flops, seconds)
    if plan.evaluation is not None and found.evaluation_s:
        remember(evaluating_on(plan.machine), name, plan.evaluation.flops, found.evaluation_s)
    if plan.memory and found.peak_bytes:
        counted = sum(plan.memory.values())
        remember(holding_on(plan.machine), name, counted, found.peak_bytes)
    kept = {"plan": plan.to_dict(), "happened": attrs.asdict(found)}
    replace_text(folder.path / "plan.json", json.dumps(kept, indent=1))
    return found
