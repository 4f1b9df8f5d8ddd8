"""A trait and what else could suffer, measured on the same rows. Knows no training.

Every row says under ``part`` what it is there for: a trait's name, ``checks`` or ``texts``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from customize._errors import DataError, OptionError
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.columns import Column
from customize.evaluation.evaluate import evaluate
from customize.evaluation.evaluation import MARGIN, Evaluation, GateResult
from customize.evaluation.gates import GENERAL, judge
from customize.evaluation.item import Item
from customize.evaluation.measures import change, estimate
from customize.evaluation.progress import AnswerProgress
from customize.evaluation.questions import questions_of
from customize.evaluation.scorers.degeneration import Degeneration
from customize.evaluation.scorers.likelihood import Perplexity
from customize.evaluation.scoring import ALL, EXPECT, RIGHT, Fault
from customize.evaluation.statistics import Interval, Verdict, non_inferior
from customize.evaluation.suites import general as suite
from customize.evaluation.terms import Terms
from customize.evaluation.wording import amount, points
from customize.interfaces.dataset import Row
from customize.interfaces.gate import better, no_worse
from customize.traits.prompts import asked_once
from customize.traits.trait import ANSWERING, CHECKS, FORM, LENGTH, TEXTS, Trait

PART = "part"
BEFORE, AFTER = "before", "after"
TEXT_MARGIN = 0.1  # nats a token of held-out text that a correction may cost: a tenth of likelihood
LENGTH_MARGIN = 0.3  # of the words of an answer, by which they may become more or fewer
_SCORERS = {"form": Degeneration(), "text": Perplexity()}


def rows_of(
    traits: Sequence[Trait], checks: Sequence[Row] = (), texts: Sequence[Row] = ()
) -> list[Row]:
    """Rows to measure on, each with its part; what one of them asks is not asked there again.

    Raises:
        OptionError: two traits share a name.
        DataError: a check says nothing of what is right, a text holds no answer, or two rows of a
            part share an id.
    """
    names = [trait.name for trait in traits]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise OptionError(f"two traits are named {twice[0]!r}: give each a name of its own")
    if checks:
        questions_of(checks, need_expect=True)
    for number, row in enumerate(texts, 1):
        if row["messages"][-1].get("role") != "assistant":
            raise DataError(f"texts, row {number}: it ends with no answer, whose text is measured")
    parts: list[tuple[str, Sequence[Row]]] = [
        *((trait.name, [_expecting(trait, row) for row in trait.rows[1]]) for trait in traits),
        (CHECKS, asked_once(checks, lambda row: row.get("expect"))),
        (TEXTS, asked_once([*map(_without_expect, texts)], lambda row: row["messages"][-1])),
    ]
    return [row for part, rows in parts for row in _of_part(part, rows)]


def measured(
    columns: Sequence[Column],
    rows: Sequence[Row],
    max_tokens: int,
    store: AnswerStore | None = None,
    general: bool = False,
) -> Evaluation:
    """All columns on all rows, by part."""
    num_general = suite.NUM_ITEMS if general else 0
    terms = Terms(max_tokens, scorers=_SCORERS, slices=(PART,), general=num_general)
    return evaluate(columns, rows, terms, store=store, progress=AnswerProgress())


def shown(evaluation: Evaluation, column: str, trait: str) -> Interval:
    """The share of answers that show the trait; not defined where none could be judged."""
    return _shown(estimate(evaluation.of(f"{PART}={trait}"), RIGHT, column))


def num_cut(evaluation: Evaluation, column: str, trait: str) -> int:
    """How many answers were cut off before they showed the trait: whole ones might."""
    return sum(_is_cut(item, column) for item in evaluation.of(f"{PART}={trait}"))


def default_texts() -> list[Row]:
    """Held-out text that ships with the package: questions of general interest, and answers."""
    return [*suite.texts()]


@attrs.frozen
class Judgement:
    """What a correction came to: of the trait, and of everything else by its name."""

    trait: Verdict
    others: dict[str, GateResult]
    gates: tuple[GateResult, ...]


def judgement(evaluation: Evaluation, trait: Trait, margin: float) -> Judgement:
    """The trait is judged by its goal and by whether it is rarer; all else by non-inferiority."""
    here = f"{PART}={trait.name}"
    rarer = judge(evaluation, better(RIGHT, BEFORE, here))
    goal = _goal(evaluation, trait)
    verdicts = (rarer.verdict, goal.verdict)
    verdict: Verdict = (
        "fail" if "fail" in verdicts else "pass" if set(verdicts) == {"pass"} else "inconclusive"
    )
    others = _others(evaluation, trait, margin)
    return Judgement(verdict, others, (rarer, goal, *others.values()))


def _goal(evaluation: Evaluation, trait: Trait) -> GateResult:
    gate = f"goal({trait.name}, at_most={trait.goal:g})"
    after, unscored = shown(evaluation, AFTER, trait.name), _unscored(evaluation, trait)
    if not after.is_defined:
        failed = [f"{fault.scorer} failed: {fault.error}" for fault in unscored]
        return GateResult(gate, "inconclusive", next(iter(failed), "no answer has a score"))
    told = f"{points(after)} % of answers show {trait.name}, at most {100 * trait.goal:g} % may"
    if after.low > trait.goal:
        return GateResult(gate, "fail", told)
    if after.high > trait.goal:
        return GateResult(gate, "inconclusive", told)
    doubt = _doubt(evaluation, trait, len(unscored))
    return GateResult(gate, "inconclusive" if doubt else "pass", f"{told}{doubt}")


def _doubt(evaluation: Evaluation, trait: Trait, num_unscored: int) -> str:
    """Why a goal that seems to be reached may not be."""
    if num_unscored:
        return f", but {num_unscored} answers have no score"
    cut = num_cut(evaluation, AFTER, trait.name)
    if not cut or _with_cut(evaluation, trait).high <= trait.goal:
        return ""
    return f", but {cut} answers were cut off before they showed it: raise max_tokens"


def _with_cut(evaluation: Evaluation, trait: Trait) -> Interval:
    """The share that show it, if those that were cut off went on to."""
    free = {AFTER: {RIGHT: 0.0}}
    items = [
        attrs.evolve(item, scores=free) if _is_cut(item, AFTER) else item
        for item in evaluation.of(f"{PART}={trait.name}")
    ]
    return _shown(estimate(items, RIGHT, AFTER))


def _is_cut(item: Item, column: str) -> bool:
    return bool(item.right(column)) and not item.answers[column].finished


def _shown(free: Interval | None) -> Interval:
    """From the share that is free of it."""
    if free is None:
        return Interval(math.nan, -math.inf, math.inf)
    return Interval(1 - free.estimate, 1 - free.high, 1 - free.low)


def _unscored(evaluation: Evaluation, trait: Trait) -> list[Fault]:
    """What kept the trait from being seen or ruled out in the corrected model's answers."""
    among = {ALL, *(item.id for item in evaluation.of(f"{PART}={trait.name}"))}
    mine = [fault for fault in evaluation.faults if fault.item in among]
    return [fault for fault in mine if (fault.scorer, fault.column) == (EXPECT, AFTER)]


def _others(evaluation: Evaluation, trait: Trait, margin: float) -> dict[str, GateResult]:
    there = dict.fromkeys(item.slices[PART] for item in evaluation.items)
    found = {
        part: judge(evaluation, no_worse(RIGHT, margin, BEFORE, f"{PART}={part}"))
        for part in there
        if part not in (trait.name, TEXTS)
    }
    once = attrs.evolve(evaluation, items=tuple(_distinct(evaluation.items)))
    found[FORM] = judge(once, no_worse("form.repeats", margin, BEFORE))
    found[ANSWERING] = judge(once, no_worse("form.empty", margin, BEFORE))
    if evaluation.general:
        found["general ability"] = judge(evaluation, no_worse(GENERAL, MARGIN, BEFORE))
    if TEXTS in there:
        text = no_worse("text.nats_per_token", TEXT_MARGIN, BEFORE, f"{PART}={TEXTS}")
        found["held-out text"] = judge(evaluation, text)
    found[LENGTH] = _length(evaluation, trait)
    return found


def _length(evaluation: Evaluation, trait: Trait) -> GateResult:
    """Words of answers to everything but the trait's own prompts, in both directions.

    A prompt of its own that is another part's too is still its own.

    Where the trait is one of length, answers may become shorter.
    """
    gate = f"same_length(margin={LENGTH_MARGIN:g})"
    own = {item.hash for item in evaluation.of(f"{PART}={trait.name}")}
    items = [item for item in _distinct(evaluation.items) if item.hash not in own]
    before = estimate(items, "form.words", BEFORE)
    found = change(items, "form.words", AFTER, BEFORE)
    if before is None or found is None:
        return GateResult(gate, "inconclusive", "no other rows: give checks, texts or other traits")
    margin, moved = LENGTH_MARGIN * before.estimate, found.interval
    longer = non_inferior(Interval(-moved.estimate, -moved.high, -moved.low), margin)
    verdicts = [longer] if _is_of_length(trait) else [longer, non_inferior(moved, margin)]
    worst = next((v for v in ("fail", "inconclusive") if v in verdicts), "pass")
    told = f"{amount(before)} words before, a change of {amount(moved, True)}"
    return GateResult(gate, worst, f"{told} on {found.num_items} rows")  # type: ignore[arg-type]


def _distinct(items: Iterable[Item]) -> list[Item]:
    """One of those that ask the same, as traits with the same prompts do: it has one answer."""
    first: dict[str, Item] = {}
    for item in items:
        first.setdefault(item.hash, item)
    return [*first.values()]


def _is_of_length(trait: Trait) -> bool:
    return "max_words" in trait.expect


def _of_part(part: str, rows: Sequence[Row]) -> list[Row]:
    named: list[Row] = [
        {**row, "id": f"{part} {row.get('id', number)}", PART: part}
        for number, row in enumerate(rows, 1)
    ]
    if named:
        questions_of(named, need_expect=False)  # refuses two that share an id
    return named


def _expecting(trait: Trait, row: Row) -> dict[str, Any]:
    return {**row, "expect": trait.expectation}


def _without_expect(row: Row) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "expect"}
