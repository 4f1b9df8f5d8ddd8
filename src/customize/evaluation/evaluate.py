"""The comparison: the same rows answered by all columns, and scored. Knows no method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from customize._errors import DataError, OptionError
from customize.data.languages import guess
from customize.data.texts import num_words
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.answering import Tell, answers
from customize.evaluation.columns import Column
from customize.evaluation.contamination import contamination, with_repeats
from customize.evaluation.cost import Price, costs, decision
from customize.evaluation.evaluation import Evaluation
from customize.evaluation.expectations import said
from customize.evaluation.item import Item
from customize.evaluation.progress import AnswerProgress
from customize.evaluation.questions import Question, field_of, questions_of
from customize.evaluation.scoring import RIGHT, Fault, Scores, needs_answer, score
from customize.evaluation.suites import general as general_suite
from customize.evaluation.summaries import summaries
from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Answer, Scorer

SHORT, LONG = 10, 30  # words of a question
_GENERAL_TOKENS = 24


def evaluate(
    columns: Sequence[Column],
    rows: Iterable[Row],
    *,
    max_tokens: int = 64,
    scorers: Mapping[str, Scorer] | None = None,
    slices: Sequence[str] = ("trait",),
    cluster: str | None = None,
    general: bool = False,
    rival: str | None = None,
    store: AnswerStore | None = None,
    progress: AnswerProgress | None = None,
    training: Iterable[Row] | None = None,
    prices: Mapping[str, Price] | None = None,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Every column answers every row, and all are scored.

    A row has ``messages`` and ``expect``, and may have ``id`` and fields to slice by; an
    assistant's last message is its reference answer and is not shown. ``scorers`` score every row
    beside its ``expect``, which may then be left out.

    Args:
        slices: fields of rows, and ``length`` and ``language`` of the question.
        cluster: a field that rows which belong together share.
        general: the first column and the last also answer the general suite.
        rival: what the last column has to beat; ``prompted``, or else the first, unless given.
        training: rows that were trained on: test rows and answers that have much in common with
            them are flagged.
        prices: by column.

    Raises:
        DataError: there are no rows, two share an id, or one says nothing of what is right.
    """
    rows, names = list(rows), _names(columns)
    new = names[-1]
    given = dict(scorers or {})
    questions = questions_of(rows, need_expect=not given)
    kept = AnswerStore() if store is None else store
    answered = _Answered(kept, progress)
    flags = {} if training is None else contamination(rows, training)
    items, faults = answered.items(columns, questions, given, max_tokens, slices, cluster, flags)
    if training is not None:
        items = with_repeats(items, training)
    asked: list[Item] = []
    if general:
        two = [c for c in columns if c.name in (names[0], new)]
        suite = questions_of(general_suite.rows(), need_expect=True)
        asked, more = answered.items(two, suite, {}, _GENERAL_TOKENS, ("trait",), None, {})
        faults += more
    answered.end()
    return Evaluation(
        columns=tuple(names),
        items=tuple(items),
        new=new,
        rival=_rival(names) if rival is None else rival,
        told={column.name: column.told for column in columns},
        metric_names=_metrics(items),
        lower_is_better=_lower(given),
        summaries=summaries(items, names, given),
        faults=tuple(faults),
        notes=tuple(notes),
        general=tuple(asked),
        costs=costs(items, names, prices or {}),
        decisions=_decisions(items, names, new, prices or {}),
    )


class _Answered:
    """Answers and scores, with what a person sees meanwhile."""

    def __init__(self, store: AnswerStore, progress: AnswerProgress | None) -> None:
        self._store = store
        self._progress = progress

    def items(
        self,
        columns: Sequence[Column],
        questions: Sequence[Question],
        scorers: Mapping[str, Scorer],
        max_tokens: int,
        slices: Sequence[str],
        cluster: str | None,
        flags: Mapping[str, Sequence[str]],
    ) -> tuple[list[Item], list[Fault]]:
        """Each question with every column's answer, and what could not be scored."""
        clusters = [_cluster(question, cluster) for question in questions]
        given: dict[str, list[Answer]] = {}
        scores: dict[str, list[Scores]] = {}
        faults: list[Fault] = []
        for column in columns:
            given[column.name] = self._answers(column, questions, scorers, max_tokens)
            scores[column.name], more = score(
                column, questions, given[column.name], scorers, self._store
            )
            faults += more
        return [
            Item(
                id=question.id,
                question=question.text,
                hash=question.hash,
                slices={field: _slice(question, field) for field in slices},
                cluster=clusters[n],
                answers={name: each[n] for name, each in given.items()},
                scores={name: each[n] for name, each in scores.items()},
                flags=tuple(flags.get(question.id, ())),
            )
            for n, question in enumerate(questions)
        ], faults

    def end(self) -> None:
        if self._progress is not None:
            self._progress.end()

    def _answers(
        self,
        column: Column,
        questions: Sequence[Question],
        scorers: Mapping[str, Scorer],
        max_tokens: int,
    ) -> list[Answer]:
        asked = [n for n, question in enumerate(questions) if needs_answer(question, scorers)]
        found = [said("")] * len(questions)
        given = answers(
            column,
            [questions[n] for n in asked],
            max_tokens,
            self._store,
            self._tell(column, asked),
        )
        for n, answer in zip(asked, given, strict=True):
            found[n] = answer
        return found

    def _tell(self, column: Column, asked: Sequence[int]) -> Tell:
        if self._progress is None:
            return lambda count: None
        self._progress.begin(column.name, len(asked))
        return self._progress.tell


def _names(columns: Sequence[Column]) -> list[str]:
    names = [column.name for column in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise OptionError(f"columns need a name each (got {', '.join(names) or 'none'})")
    return names


def _rival(names: Sequence[str]) -> str | None:
    *before, _ = names
    return "prompted" if "prompted" in before else before[0] if before else None


def _metrics(items: Sequence[Item]) -> tuple[str, ...]:
    seen = dict.fromkeys(m for item in items for each in item.scores.values() for m in each)
    return tuple(sorted(seen, key=lambda metric: metric != RIGHT))


def _decisions(
    items: Sequence[Item], names: Sequence[str], new: str, prices: Mapping[str, Price]
) -> tuple[str, ...]:
    """The judged column against each other one that has a price."""
    found = costs(items, names, prices)
    told = [decision(found, prices, new, other) for other in names if other != new]
    return tuple(line for line in told if line is not None)


def _lower(scorers: Mapping[str, Scorer]) -> frozenset[str]:
    return frozenset(
        f"{name}.{part}" if part else name
        for name, scorer in scorers.items()
        for part in scorer.lower_is_better
    )


def _cluster(question: Question, field: str | None) -> str | None:
    if field is None:
        return None
    if question.row.get(field) is None:
        raise DataError(f"{question.id}: no field {field!r} to cluster by")
    return field_of(question.row, field)


def _slice(question: Question, field: str) -> str:
    if field in question.row or field not in ("length", "language"):
        return field_of(question.row, field)
    if field == "language":
        return guess(question.text)
    count = num_words(question.text)
    return "short" if count <= SHORT else "long" if count > LONG else "medium"
