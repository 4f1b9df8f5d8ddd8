"""Terms: on what columns are compared. Compare nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from customize.evaluation.judging import Judge
from customize.interfaces.scorer import Scorer
from customize.training.evaluation_plan import check_samples
from customize.training.prices import Price


@attrs.frozen
class Terms:
    """How columns answer, and what is looked at.

    max_tokens: of an answer. samples: answers a row, drawn at ``temperature``; 0 takes the
        likeliest, of which there is one.
    scorers, judge: score every row beside its ``expect``, which may then be left out.
    slices: fields of rows, and ``length`` and ``language`` of the question.
    cluster: a field that rows which belong together share.
    general: so many items of the general suite are answered by the first column and the last.
    rival: what the last column has to beat; ``prompted``, or else the first, unless given.
    prices: by column.
    """

    max_tokens: int = 64
    samples: int = 1
    temperature: float = 0.0
    scorers: Mapping[str, Scorer] = attrs.field(factory=dict)
    judge: Judge | None = None
    slices: Sequence[str] = ("trait",)
    cluster: str | None = None
    general: int = 0
    rival: str | None = None
    prices: Mapping[str, Price] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        check_samples(self.samples, self.temperature)
