"""The base's best prompt, chosen on development rows. Never sees a test row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from customize._errors import DataError, OptionError
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.columns import SnapshotColumn
from customize.evaluation.evaluate import evaluate
from customize.evaluation.prompting import Prompting
from customize.evaluation.questions import questions_of, shared
from customize.evaluation.terms import Terms
from customize.interfaces.dataset import Row
from customize.interfaces.renderer import Message


@attrs.frozen
class Chosen:
    """The prompting, and how many of the development rows it got right."""

    prompting: Prompting
    right: int
    num_rows: int
    num_candidates: int


def best_prompting(
    base: SnapshotColumn,
    prompts: Sequence[str],
    shots: Sequence[int],
    development: Iterable[Row],
    max_tokens: int = 64,
    store: AnswerStore | None = None,
) -> Chosen:
    """The prompt with the most right answers on development rows; the first of equals.

    ``shots`` are numbers of examples to try with each prompt. They are development rows with an
    answer, and no candidate is judged on them.

    Raises:
        OptionError: there is nothing to choose from.
        DataError: a row cannot be used, or there are too few.
    """
    rows = list(development)
    examples = _examples(rows, max(shots, default=0))
    judged = [row for row in rows if not any(row is example for example in examples)]
    if not judged:
        raise DataError(f"{len(rows)} development rows leave none to choose on: give more")
    candidates = _candidates(prompts, shots, [_turns(row) for row in examples])
    found = []
    for candidate in candidates:
        column = attrs.evolve(base, prompting=candidate)
        got = evaluate([column], judged, Terms(max_tokens=max_tokens, slices=()), store=store)
        found.append(sum(bool(item.right(column.name)) for item in got.items))
    best = max(range(len(found)), key=lambda number: (found[number], -number))
    return Chosen(candidates[best], found[best], len(judged), len(candidates))


def check_apart(development: Sequence[Row], test: Sequence[Row]) -> None:
    """Refuse development rows that ask what a test row asks.

    Raises:
        DataError: there are such rows; the first are named.
    """
    both = shared(questions_of(development, False), questions_of(test, False))
    if both:
        named = ", ".join(both[:5])
        raise DataError(
            f"{len(both)} development rows are test rows too ({named}): a prompt chosen on them "
            "fits the test; customize split makes files that share none"
        )


def _candidates(
    prompts: Sequence[str], shots: Sequence[int], examples: Sequence[tuple[Message, ...]]
) -> list[Prompting]:
    texts: list[str | None] = list(prompts) or [None]
    made = [Prompting(text, tuple(examples[:count])) for count in shots for text in texts]
    useful = [each for each in made if each != Prompting()]
    if not useful:
        raise OptionError("there is no prompt to choose from: give prompts, or shots above 0")
    return useful


def _examples(rows: Sequence[Row], count: int) -> list[Row]:
    """Rows with an answer, spread over all, so that each kind of question is among them."""
    answered = [row for row in rows if row["messages"][-1].get("role") == "assistant"]
    if count > len(answered):
        raise DataError(
            f"{count} examples are asked for, and {len(answered)} development rows have an answer"
        )
    return [answered[i * len(answered) // count] for i in range(count)]


def _turns(row: Row) -> tuple[Message, ...]:
    return tuple(m for m in row["messages"] if m["role"] != "system")
