"""What must be looked at in answers: things given away, and training text that is repeated.

Knows no model; each column's own tokens, where it has them, are what repetition is counted in.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence

import attrs

from customize._errors import RenderingError
from customize.data.texts import answers, words
from customize.evaluation.columns import Column, SnapshotColumn
from customize.evaluation.item import Item
from customize.evaluation.questions import Question
from customize.evaluation.scorers.leaks import Leaks, runs
from customize.evaluation.scoring import metric_of
from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Scorer

_LENGTH = 50  # tokens of a run that is extraction (arXiv 2202.07646)
_LOOK = 8  # words of a run that makes tokens worth comparing


def with_flags(
    items: Sequence[Item],
    questions: Sequence[Question],
    columns: Sequence[Column],
    known: Mapping[str, Sequence[str]],
    training: Iterable[Row],
    scorers: Mapping[str, Scorer],
) -> list[Item]:
    """The items with what is known of their rows, and what is wrong with the last column's answers.

    The others are there to compare with: what they give away is not told. Answers are looked
    through for `Leaks`, and for what the ``scorers`` that scored them say is a red flag.
    """
    column = columns[-1]
    repeated = repeats(items, column, training)
    asked = {question.id: column.as_asked(question) for question in questions}
    return [
        attrs.evolve(
            item,
            flags=(
                *known.get(item.id, ()),
                *_given_away(item, asked[item.id].row, column.name, scorers),
                *([f"{column.name} repeats {_LENGTH} tokens of training"] * (item.id in repeated)),
            ),
        )
        for item in items
    ]


def repeats(items: Sequence[Item], column: Column, training: Iterable[Row]) -> set[str]:
    """Ids of items in which the column says a run of 50 tokens of a training answer.

    Only where eight words in a row are shared are tokens compared, so that one pass over the
    training rows is cheap.
    """
    said: dict[tuple[str, ...], set[tuple[str, str]]] = {}
    for item in items:
        for text in (sample.answer.text for sample in item.of(column.name)):
            for run in runs(text, _LOOK):
                said.setdefault(run, set()).add((item.id, text))
    found: set[str] = set()
    for row in training if said else ():
        for text in answers(row):
            near = set().union(*(said.get(run, ()) for run in runs(text, _LOOK)))
            found |= {one for one, own in near if one not in found and _repeats(own, text, column)}
    return found


def _repeats(text: str, other: str, column: Column) -> bool:
    return not _runs(text, column).isdisjoint(_runs(other, column))


def _runs(text: str, column: Column) -> set[tuple[Hashable, ...]]:
    tokens = _tokens(text, column)
    return {tuple(tokens[i : i + _LENGTH]) for i in range(len(tokens) - _LENGTH + 1)}


def _tokens(text: str, column: Column) -> list[Hashable]:
    """The column's tokens of a text; its words, where the model is behind an interface."""
    if not isinstance(column, SnapshotColumn):
        return list(words(text))
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": text}]
    try:
        found = column.snapshot.renderer.render(messages)
    except RenderingError:
        return list(words(text))
    return [int(token) for token in found.tokens[found.weights != 0]]


def _given_away(item: Item, row: Row, column: str, scorers: Mapping[str, Scorer]) -> list[str]:
    leaks, told = Leaks(), _told(scorers)
    seen: dict[str, None] = {}
    for sample in item.of(column):
        flags = [leaks.red_flags[p] for p, x in leaks.score(sample.answer, row).items() if x]
        flags += [told[metric] for metric, x in sample.scores.items() if x and metric in told]
        seen |= dict.fromkeys(f"{column} {flag}" for flag in flags)
    return list(seen)


def _told(scorers: Mapping[str, Scorer]) -> dict[str, str]:
    """What is told, by metric."""
    return {
        metric_of(name, part): flag
        for name, scorer in scorers.items()
        for part, flag in scorer.red_flags.items()
    }
