"""One stage of a recipe, counted by its own method on a session that computes nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence

import attrs
import numpy as np

from customize.data.glimpse import glimpse
from customize.data.reading import read
from customize.interfaces.dataset import Dataset
from customize.interfaces.method import Method
from customize.interfaces.renderer import Renderer
from customize.interfaces.session import Adapter
from customize.models.shape import ModelShape
from customize.planning.amounts import drawing_flops, forward_flops, training_flops
from customize.planning.counting import CountingSession, Sampled, Work
from customize.planning.some_rows import SomeRows
from customize.runs.given import Given
from customize.training.recipe import Recipe

_ROWS = 1000  # that are looked at
_ENOUGH_S = 1.0  # of counting steps, once there are a few
_FEW = 8
_Z = 1.96


@attrs.frozen
class StagePlan:
    """One stage. tokens: [estimate, low, high] of what is trained on, over all steps.

    flops: of training, validation, and what comes before the first step. step_tokens: of the
    largest step, what a group shares at its start counted once. sampled: the most that is drawn at
    once, and passes: over all weights for all that is drawn. data: the fingerprint of its rows.

    is_glimpsed: whether the rows are those of a large file that was never passed over: how many
    there are, and so the steps, is then an estimate, and data None.

    is_counted: not where a method learns from what it makes as it goes; tokens and flops are then
    0, and rows, steps and data None where it makes its rows of documents.
    """

    method: str
    rows: int | None
    steps: int | None
    tokens: tuple[float, float, float]
    flops: float
    largest: int
    step_tokens: float
    sampled: Sampled
    data: str | None
    is_counted: bool = True
    passes: float = 0.0
    is_glimpsed: bool = False


def stage_plan(
    recipe: Recipe,
    given: Given,
    renderer: Renderer,
    shape: ModelShape,
    adapter: Adapter,
    capabilities: frozenset[str],
) -> StagePlan:
    """Count it, on a session with these capabilities; of a method that learns from what it makes as
    it goes, only what is given.
    """
    method = given.method
    if method.data == "documents":
        return _uncounted(recipe.method, None, None, None)
    seen = glimpse(given.data, method.data)
    rows: Dataset = seen or read(given.data, method.data, recipe.on_bad_rows)  # type: ignore[arg-type]
    data = None if seen else rows.fingerprint
    if "sample" in method.needs:
        found = _uncounted(recipe.method, len(rows), method.num_steps(rows), data)
        return attrs.evolve(found, is_glimpsed=seen is not None)
    session = CountingSession(renderer, recipe.seed, capabilities)
    some = SomeRows(seen.rows if seen else rows, _ROWS)
    total = method.num_steps(rows)
    _run(method, session, some, total)
    ledger = session.ledger
    share = len(rows) / len(some)
    training = _sum(ledger.steps).scaled(total / len(ledger.steps))
    flops = (
        training_flops(shape, adapter, training)
        + forward_flops(shape, ledger.forward.scaled(share))
        + drawing_flops(shape, ledger.read, ledger.drawn)
        + _validation(recipe, given, renderer, shape, total)
    )
    each = np.array([step.tokens for step in ledger.steps])
    spread = 0.0 if total == len(each) else _Z * total * each.std() / np.sqrt(len(each))
    fewest, most = map(method.num_steps, seen.between()) if seen else (total, total)
    return StagePlan(
        method=recipe.method,
        rows=len(rows),
        steps=total,
        tokens=(
            training.tokens,
            (training.tokens - spread) * fewest / total,
            (training.tokens + spread) * most / total,
        ),
        flops=flops,
        largest=training.largest,
        step_tokens=max(step.computed for step in ledger.steps),
        sampled=ledger.sampled,
        data=data,
        passes=ledger.passes,
        is_glimpsed=seen is not None,
    )


def _uncounted(method: str, rows: int | None, steps: int | None, data: str | None) -> StagePlan:
    return StagePlan(method, rows, steps, (0.0, 0.0, 0.0), 0.0, 0, 0.0, Sampled(), data, False)


def _run(method: Method, session: CountingSession, rows: Dataset, total: int) -> None:
    began = time.monotonic()
    for step in method.train(session, rows):
        enough = step.number >= _FEW and time.monotonic() - began > _ENOUGH_S
        if step.number == total or enough:
            return


def _sum(works: Sequence[Work]) -> Work:
    whole = Work()
    for work in works:
        whole = whole.plus(work)
    return whole


def _validation(
    recipe: Recipe, given: Given, renderer: Renderer, shape: ModelShape, total: int
) -> float:
    if given.validation is None or not recipe.evaluate_every:
        return 0.0
    kind = given.method.data
    rows = read(given.validation, kind=kind, on_bad_rows=recipe.on_bad_rows)  # type: ignore[arg-type]
    some = SomeRows(rows, _ROWS)
    session = CountingSession(renderer, recipe.seed, frozenset())
    given.method.validate(session, some)
    looks = -(-total // recipe.evaluate_every)
    return looks * len(rows) / len(some) * forward_flops(shape, session.ledger.forward)
