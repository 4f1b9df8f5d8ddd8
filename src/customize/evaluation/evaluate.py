"""The comparison: the same rows answered by all columns, scored, and looked through.

Knows no method.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from customize._errors import DataError, OptionError
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.collecting import Collector
from customize.evaluation.columns import Column, Draw
from customize.evaluation.contamination import contamination
from customize.evaluation.cost import costs, decision
from customize.evaluation.evaluation import Evaluation
from customize.evaluation.general_ability import KL, SCORERS, general_ability
from customize.evaluation.grouping import Grouping
from customize.evaluation.item import Item
from customize.evaluation.judging import judge_notes, judge_summaries
from customize.evaluation.playing import LOWER_IS_BETTER, Playing
from customize.evaluation.progress import AnswerProgress
from customize.evaluation.questions import questions_of
from customize.evaluation.red_flags import with_flags
from customize.evaluation.scoring import RIGHT, Fault, metric_of
from customize.evaluation.summaries import summaries
from customize.evaluation.terms import Terms
from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Scorer
from customize.training.evaluation_plan import PROMPTED, check_columns
from customize.training.prices import Price


def evaluate(
    columns: Sequence[Column],
    rows: Iterable[Row],
    terms: Terms = Terms(),  # noqa: B008  # it is frozen
    *,
    store: AnswerStore | None = None,
    progress: AnswerProgress | None = None,
    training: Iterable[Row] | None = None,
    notes: Sequence[str] = (),
    playing: Playing | None = None,
) -> Evaluation:
    """Every column answers every row, and all are scored.

    A row has ``messages`` and ``expect``, and may have ``id`` and fields to slice by; an
    assistant's last message is its reference answer and is not shown. Test rows and answers that
    have much in common with rows of ``training`` are flagged. With ``playing`` the rows are
    played, and need no ``expect``.

    Raises:
        DataError: there are no rows, two share an id, one says nothing of what is right, or no
            answer could be scored.
        OptionError: there are no columns, two of one name, or a price for another.
        EpisodesFailed: the rows are played, and no episode went well.
    """
    rows, names = list(rows), _names(columns, terms.prices)
    rival = _rival(names) if terms.rival is None else terms.rival
    collect = _collector(terms, store, progress)
    judged_alone = not terms.scorers and terms.judge is None and playing is None
    questions = questions_of(rows, need_expect=judged_alone)
    known = {} if training is None else contamination(rows, training)
    grouping = Grouping(terms.slices, terms.cluster)
    if playing is None:
        items, faults = collect.items(columns, questions, terms.scorers, grouping, rival)
    else:
        items, faults = playing.items(columns, questions, grouping, progress)
    _check_scored(items, faults)
    items = with_flags(items, questions, columns, known, training or (), terms.scorers)
    on_suite = _of_suite(columns, collect, terms.general)
    lower = frozenset() if playing is None else LOWER_IS_BETTER
    if progress is not None:
        progress.end()
    return attrs.evolve(
        _compared(columns, items, rival, terms.scorers, faults, lower),
        general=on_suite,
        costs={} if playing else costs(items, names, terms.prices),
        decisions=_decisions(items, names, terms.prices),
        notes=(*notes, *judge_notes(terms.judge, columns, items, rival)),
    )


def _check_scored(items: Sequence[Item], faults: Sequence[Fault]) -> None:
    if any(given for item in items for given in item.scores.values()):
        return
    why = f"{faults[0].scorer}: {faults[0].error}" if faults else "no row asks for a score"
    raise DataError(f"no answer could be scored ({why})")


def _collector(
    terms: Terms, store: AnswerStore | None, progress: AnswerProgress | None
) -> Collector:
    draw = Draw(terms.max_tokens, terms.temperature)
    return Collector(store or AnswerStore(), progress, draw, terms.samples, terms.judge)


def _compared(
    columns: Sequence[Column],
    items: Sequence[Item],
    rival: str | None,
    scorers: Mapping[str, Scorer],
    faults: Sequence[Fault],
    lower_is_better: frozenset[str] = frozenset(),
) -> Evaluation:
    """What the items show of the last column; ``lower_is_better`` beside what scorers say."""
    names = [column.name for column in columns]
    figures, failed = summaries(items, names, scorers)
    return Evaluation(
        columns=tuple(names),
        items=tuple(items),
        new=names[-1],
        rival=rival,
        told={column.name: column.told for column in columns},
        metric_names=_metrics(items),
        lower_is_better=_lower(scorers) | lower_is_better,
        summaries=figures | judge_summaries(items, names),
        faults=(*faults, *failed),
    )


def _of_suite(columns: Sequence[Column], collect: Collector, num_items: int) -> Evaluation | None:
    """Of the first column and the last."""
    if not num_items:
        return None
    two = columns if len(columns) == 1 else (columns[0], columns[-1])
    items, faults = general_ability(two, collect, num_items)
    rival = columns[0].name if len(columns) > 1 else None
    return _compared(two, items, rival, SCORERS, faults, frozenset({KL}))


def _names(columns: Sequence[Column], prices: Mapping[str, Price]) -> list[str]:
    if not columns:
        raise OptionError("there are no columns: give one at least")
    names = [column.name for column in columns]
    check_columns(names, (), prices)
    return names


def _rival(names: Sequence[str]) -> str | None:
    *before, _ = names
    return PROMPTED if PROMPTED in before else before[0] if before else None


def _metrics(items: Sequence[Item]) -> tuple[str, ...]:
    seen = dict.fromkeys(m for item in items for each in item.scores.values() for m in each)
    return tuple(sorted(seen, key=lambda metric: metric != RIGHT))


def _decisions(
    items: Sequence[Item], names: Sequence[str], prices: Mapping[str, Price]
) -> tuple[str, ...]:
    """The judged column against each other one that has a price."""
    found = costs(items, names, prices)
    told = [decision(found, prices, names[-1], other) for other in names[:-1]]
    return tuple(line for line in told if line is not None)


def _lower(scorers: Mapping[str, Scorer]) -> frozenset[str]:
    return frozenset(
        metric_of(name, part) for name, scorer in scorers.items() for part in scorer.lower_is_better
    )
