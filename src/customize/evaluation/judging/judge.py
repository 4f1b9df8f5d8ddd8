"""Who judges, and by what. Asks nothing."""

from __future__ import annotations

import attrs

from customize.evaluation.columns import Column
from customize.evaluation.judging.labels import Labels
from customize.training.evaluation_plan import JudgePlan


@attrs.frozen
class Judge:
    """column: who is asked. labels: what people said, where anybody did."""

    column: Column
    plan: JudgePlan
    labels: Labels = attrs.field(factory=Labels)
