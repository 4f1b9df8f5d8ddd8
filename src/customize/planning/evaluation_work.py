"""What the evaluation that ends a run will ask of its own model. Computes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from customize.runs.evaluating import Asked
from customize.runs.final_evaluation import final_evaluation
from customize.runs.given import Given
from customize.training.evaluation_plan import columns_of
from customize.training.recipe import Recipe

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
    ledger = Ledger()
    column = SnapshotColumn("", CountingSnapshot(renderer, ledger))
    times = len(own) * asked.samples
    for some in [*_in_batches(wanted * asked.samples)] * len(own):  # one column after the other
        column.drawn(some, Draw(asked.max_tokens))
    replies = [(q, text) for q in questions for text in replies_of(q, scorers, "", [])]
    for pairs in _in_batches(replies * times):
        column.likelihoods(pairs)
    return EvaluationWork(
        rows=len(questions),
        answers=len(wanted) * times,
        read=ledger.read,
        drawn=ledger.drawn,
        flops=drawing_flops(shape, ledger.read, ledger.drawn)
        + forward_flops(shape, ledger.forward),
        sampled=ledger.sampled,
        passes=ledger.passes,
    )


def _in_batches(some: Sequence[T]) -> Iterator[Sequence[T]]:
    return (some[start : start + AT_ONCE] for start in range(0, len(some), AT_ONCE))
