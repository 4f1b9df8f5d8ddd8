"""A plan beside what happened, and what that says of this machine. Plans nothing."""

from __future__ import annotations

import json

import attrs

from customize._files import replace_text
from customize.planning.plan import Plan
from customize.planning.rates import evaluating_on, remember
from customize.runs.folder import RunFolder


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
        planned = "" if self.planned_s is None else f", planned {self.planned_s:.0f} s"
        lines = [f"The run is finished: training took {self.seconds:.0f} s{planned}."]
        if self.evaluation_s is not None:
            expected = self.planned_evaluation_s
            planned = "" if expected is None else f", planned {expected:.0f} s"
            lines.append(f"Its evaluation took {self.evaluation_s:.0f} s{planned}.")
        if self.peak_bytes is not None:
            told = "" if self.planned_bytes is None else f", planned {self.planned_bytes / 1e9:.2f}"
            lines.append(f"At most {self.peak_bytes / 1e9:.2f} GB were held{told}.")
        return lines


def compared(plan: Plan, folder: RunFolder) -> Happened | None:
    """What a finished run took, kept in its ``plan.json`` with the plan; None of any other run.

    A run that was stopped and went on was not timed as a whole, and says nothing.
    """
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
    kept = {"plan": plan.to_dict(), "happened": attrs.asdict(found)}
    replace_text(folder.path / "plan.json", json.dumps(kept, indent=1))
    return found
