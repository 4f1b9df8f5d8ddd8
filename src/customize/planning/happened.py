"""A plan beside what happened, and what that says of this machine. Plans nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from customize._processor import processor
from customize.planning.kept import deciding, forget, kept
from customize.planning.plan import Plan
from customize.planning.rates import evaluating_on, holding_on, rate_of, remember
from customize.runs.folder import RunFolder, differing_keys


@attrs.frozen
class Happened:
    """Of a finished run. planned_s, planned_bytes: None where the plan did not say.

    evaluation_s: of the evaluation that ended it; None where none did.
    planned_before: whether the plan was made before it was finished.
    """

    seconds: float
    planned_s: float | None
    evaluation_s: float | None
    planned_evaluation_s: float | None
    peak_bytes: float | None
    planned_bytes: float | None
    planned_before: bool

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
        if not self.planned_before:
            lines.append("No plan was made before it: this one is made now, by other runs alone.")
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
        planned["machine"] = plan.computes
        ran[-1]["machine"] = (folder.cost() or {}).get("machine", {})
    return [
        *differing_keys(deciding(folder.recipe().to_dict()), deciding(plan.recipe)),
        *differing_keys({key: ran[-1][key] for key in planned}, planned),
        *(["data"] if _has_other_rows(plan, ran) else []),
    ]


def _has_other_rows(plan: Plan, ran: Sequence[Mapping[str, Any]]) -> bool:
    """But for documents, of which a plan knows nothing."""
    both = zip(plan.stages, ran, strict=False)
    return any(stage.data not in (None, one["data"]) for stage, one in both)


def compared(plan: Plan, folder: RunFolder) -> Happened | None:
    """What a finished run took, kept in its ``plan.json`` with the plan that was made before it;
    None of any other run.

    A run that was stopped and went on was not timed as a whole, and says nothing; nor does one of
    another recipe, backend or processor.
    """
    if not folder.finished or differing(plan, folder):
        return None
    costs = [stage.cost() or {"whole": False} for stage in (*folder.before, folder)]
    if not all(cost["whole"] for cost in costs):
        return None
    before, planned = _planned_for(plan, folder)
    peaks = [cost["peak_bytes"] for cost in costs if cost["peak_bytes"]]
    found = Happened(
        seconds=sum(cost["seconds"] for cost in costs),
        planned_s=_first(planned["seconds"]),
        evaluation_s=costs[-1].get("evaluation_s"),
        planned_evaluation_s=_first(planned["evaluation_seconds"]),
        peak_bytes=max(peaks, default=None),
        planned_bytes=planned["bytes"] or None,
        planned_before=before,
    )
    _remember(plan, found, folder)
    folder.keep_plan({"plan": planned, "before": before, "happened": attrs.asdict(found)})
    forget(plan)
    return found


def _planned_for(plan: Plan, folder: RunFolder) -> tuple[bool, Mapping[str, Any]]:
    """Whether it was planned before it was finished, and that plan as JSON values.

    Of a run that nobody planned the present plan, by what other runs have shown: its own time says
    nothing of how good a plan is.
    """
    if (held := folder.plan()) is not None:
        return held.get("before", False), held["plan"]
    if (before := kept(plan)) is not None:
        return True, before
    return False, _without(plan, _name(folder)).to_dict()


def _without(plan: Plan, run: str) -> Plan:
    """The plan, of which this run has shown nothing."""

    def expected(machine: str, counted: float) -> tuple[float, float, float] | None:
        rate = rate_of(machine, but=run)
        return None if rate is None else rate.expected(counted)

    evaluation = plan.evaluation
    return attrs.evolve(
        plan,
        rate=rate_of(plan.machine, but=run),
        seconds=None if plan.uncounted else expected(plan.machine, plan.flops),
        evaluation_seconds=None
        if evaluation is None
        else expected(evaluating_on(plan.machine), evaluation.flops),
        held=expected(holding_on(plan.machine), sum(plan.memory.values())),
    )


def _remember(plan: Plan, found: Happened, folder: RunFolder) -> None:
    if plan.uncounted:
        return
    run = _name(folder)
    remember(plan.machine, run, plan.flops, found.seconds)
    if plan.evaluation is not None and found.evaluation_s:
        remember(evaluating_on(plan.machine), run, plan.evaluation.flops, found.evaluation_s)
    if plan.memory and found.peak_bytes:
        counted = sum(plan.memory.values())
        remember(holding_on(plan.machine), run, counted, found.peak_bytes)


def _name(folder: RunFolder) -> str:
    return str(folder.path.absolute())


def _first(interval: Sequence[float] | None) -> float | None:
    return None if interval is None else interval[0]
