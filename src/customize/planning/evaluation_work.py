"""What the evaluation that ends a run will ask of its own model. Computes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TypeVar

import attrs

from customize.data.reading import read
from customize.evaluation.answering import AT_ONCE
from customize.evaluation.columns import Draw, SnapshotColumn
from customize.evaluation.questions import questions_of
from customize.evaluation.scorers import as_scorers
from customize.evaluation.scoring import needs_answer, replies_of
from customize.interfaces.renderer import Renderer
from customize.models.shape import ModelShape
from customize.planning.amounts import drawing_flops, forward_flops
from customize.planning.counting import CountingSnapshot, Ledger, Sampled
from customize.planning.some_rows import places
from customize.runs.evaluating import Asked
from customize.runs.final_evaluation import final_evaluation
from customize.runs.given import Given
from customize.training.evaluation_plan import columns_of
from customize.training.recipe import Recipe

_ROWS = 30 * AT_ONCE  # that are looked at

T = TypeVar("T")


@attrs.frozen
class EvaluationWork:
    """rows: questions. answers: that are drawn, by all columns of the model together.

    read, drawn: tokens of their prompts, and of the answers at most. flops: of these and of what is
    only weighed. sampled: the most that is drawn at once. passes: over all weights for the answers.
    """

    rows: int
    answers: int
    read: float
    drawn: float
    flops: float
    sampled: Sampled
    passes: float


def evaluation_work(
    recipe: Recipe, given: Given, renderer: Renderer, shape: ModelShape
) -> EvaluationWork | None:
    """None where nothing is evaluated, or episodes are played, whose length nobody knows before.

    Not counted is what others say, judges and the items of ``general`` among them, and the choice
    among several prompts.
    """
    kind = given.method.data
    held_out = None
    if given.validation is not None:
        held_out = read(given.validation, kind=kind, on_bad_rows=recipe.on_bad_rows)  # type: ignore[arg-type]
    final = final_evaluation(recipe, given.method, held_out)
    if final is None or final.asked is None or final.asked.environment is not None:
        return None
    return _counted(final.asked, renderer, shape)


def _counted(asked: Asked, renderer: Renderer, shape: ModelShape) -> EvaluationWork:
    scorers = as_scorers(asked.scorers)
    rows, _ = asked.read()
    questions = questions_of(rows, need_expect=not scorers and asked.judge is None)
    wanted = [q for q in questions if asked.judge is not None or needs_answer(q, scorers)]
    own = columns_of(asked.prompts, asked.shots, (), asked.index is not None)
    column = partial(SnapshotColumn, "")
    times = len(own) * asked.samples

    drawing, (some, share) = Ledger(), _some(wanted)
    asking = column(CountingSnapshot(renderer, drawing))
    for batch in [*_in_batches(some * asked.samples)] * len(own):  # one column after the other
        asking.drawn(batch, Draw(asked.max_tokens))

    weighing = Ledger()
    replies, share_of_replies = _some(
        [(q, text) for q in questions for text in replies_of(q, scorers, "", [])]
    )
    for pairs in _in_batches(replies * times):
        column(CountingSnapshot(renderer, weighing)).likelihoods(pairs)

    read, drawn = share * drawing.read, share * drawing.drawn
    return EvaluationWork(
        rows=len(questions),
        answers=len(wanted) * times,
        read=read,
        drawn=drawn,
        flops=drawing_flops(shape, read, drawn)
        + forward_flops(shape, weighing.forward.scaled(share_of_replies)),
        sampled=drawing.sampled,
        passes=share * drawing.passes,
    )


def _some(every: Sequence[T]) -> tuple[list[T], float]:
    """As many as are looked at, and how many times as many there are."""
    some = [every[place] for place in places(len(every), _ROWS)]
    return some, len(every) / max(1, len(some))


def _in_batches(some: Sequence[T]) -> Iterator[Sequence[T]]:
    return (some[start : start + AT_ONCE] for start in range(0, len(some), AT_ONCE))
