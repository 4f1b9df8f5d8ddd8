"""A correction: what became of a trait, and what it cost. Trains and asks nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from customize._errors import GateFailed, GateInconclusive
from customize._files import replace_text
from customize.evaluation.evaluation import Evaluation, GateResult
from customize.evaluation.statistics import Interval, Verdict
from customize.evaluation.wording import points
from customize.runs.report import keep
from customize.runs.run import Run
from customize.traits.measuring import AFTER, BEFORE, Judgement, shown
from customize.traits.proposing import CorrectionFolder
from customize.traits.trait import Trait

Corrected = Literal["corrected", "not corrected", "inconclusive"]

_CORRECTED: Mapping[Verdict, Corrected] = {
    "pass": "corrected",
    "fail": "not corrected",
    "inconclusive": "inconclusive",
}
_KEPT: Mapping[Verdict, str] = {
    "pass": "kept",
    "fail": "harmed",
    "inconclusive": "harm is not ruled out",
}
SCHEMA = 1


@attrs.frozen
class Correction:
    """run: the corrected one. measured: its columns are ``before`` and ``after``."""

    trait: Trait
    run: Run
    measured: Evaluation
    judgement: Judgement

    @property
    def evaluation(self) -> Evaluation:
        """What was measured, with what it comes to."""
        gates = self.judgement.gates
        return attrs.evolve(self.measured, gates=gates, notes=(f"{self.headline}.",))

    @property
    def before(self) -> Interval:
        """The share of answers to held-out prompts that showed the trait; not defined where none
        could be judged.
        """
        return shown(self.measured, BEFORE, self.trait.name)

    @property
    def after(self) -> Interval:
        """The share that show it now."""
        return shown(self.measured, AFTER, self.trait.name)

    @property
    def verdict(self) -> Corrected:
        """``corrected``: it is rarer, and no more than the trait's goal, by the intervals."""
        return _CORRECTED[self.judgement.trait]

    @property
    def harmed(self) -> tuple[str, ...]:
        """What is shown to be worse by more than its margin."""
        return self._with("fail")

    @property
    def not_ruled_out(self) -> tuple[str, ...]:
        """What may be worse by more than its margin: its rows are too few to tell."""
        return self._with("inconclusive")

    @property
    def harm(self) -> str:
        """``harmed nothing``, ``harmed X``, or of what harm is not ruled out."""
        parts = [f"harmed {', '.join(self.harmed)}"] if self.harmed else []
        if self.not_ruled_out:
            parts.append(f"harm is not ruled out of {', '.join(self.not_ruled_out)}")
        return "; ".join(parts) or "harmed nothing"

    @property
    def headline(self) -> str:
        """Both verdicts in a line."""
        return f"{self.trait.name}: {self.verdict}, {self.harm}"

    def __str__(self) -> str:
        return "\n".join(
            [
                self.headline,
                f"  shown in {_share(self.before)} of answers before, {_share(self.after)} now",
                *(f"  {gate.told}" for gate in self.judgement.gates[:2]),
                *(f"  {name}: {_told(gate)}" for name, gate in self.judgement.others.items()),
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """Verdicts and rates as JSON values; null where no answer could be judged."""
        return {
            "schema": SCHEMA,
            "trait": self.trait.name,
            "verdict": self.verdict,
            "harm": self.harm,
            "before": _figures(self.before),
            "after": _figures(self.after),
            "goal": self.trait.goal,
            "others": {n: attrs.asdict(gate) for n, gate in self.judgement.others.items()},
        }

    def keep(self, folder: CorrectionFolder) -> None:
        """Write the verdict into its folder, and what was measured into the run's."""
        assert self.run.folder is not None
        keep(self.evaluation, self.run.folder.evaluation, self.run.folder)
        replace_text(folder.verdict, json.dumps(self.to_json(), indent=1) + "\n")

    def raise_unless_good(self) -> None:
        """Nothing where the trait is corrected and nothing was harmed.

        Raises:
            GateFailed: it is not corrected, or something was harmed.
            GateInconclusive: neither is shown, and the rows are too few.
        """
        if self.verdict == "not corrected" or self.harmed:
            raise GateFailed(self.headline)
        if self.verdict == "inconclusive" or self.not_ruled_out:
            raise GateInconclusive(self.headline)

    def _with(self, verdict: Verdict) -> tuple[str, ...]:
        others = self.judgement.others
        return tuple(name for name, gate in others.items() if gate.verdict == verdict)


def _share(interval: Interval) -> str:
    return f"{points(interval)} %" if interval.is_defined else "an unknown share"


def _figures(interval: Interval) -> dict[str, float | None]:
    """With null for what is not known, which JSON has no number for."""
    return {k: v if math.isfinite(v) else None for k, v in attrs.asdict(interval).items()}


def _told(gate: GateResult) -> str:
    return f"{_KEPT[gate.verdict]}; {gate.told}"
