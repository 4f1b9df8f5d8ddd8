"""Verdicts on answers as scores: ``judge``, and what people said, ``judge.label``.

In pairs ``judge`` is how often an answer was preferred over two orders, so that a liking for the
first place cancels; ``judge.steady`` says whether both orders agree. Knows no statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from customize._errors import OptionError
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.answering import Tell, answers
from customize.evaluation.columns import Draw
from customize.evaluation.judging.judge import Judge
from customize.evaluation.judging.prompts import alone, pair, verdict
from customize.evaluation.questions import Question
from customize.evaluation.scoring import Fault, Scores
from customize.interfaces.scorer import Answer

JUDGE, LABEL, STEADY = "judge", "judge.label", "judge.steady"

Given = Mapping[str, Sequence[Answer]]
Verdicts = dict[str, list[Scores]]


def judged(
    judge: Judge,
    questions: Sequence[Question],
    given: Given,
    rival: str | None,
    store: AnswerStore,
    tell: Callable[[str, int], Tell],
) -> tuple[Verdicts, list[Fault]]:
    """Scores by column and question, of every column, or of the last and its rival in pairs.

    Raises:
        OptionError: pairs are asked for, and there is one column.
    """
    found: Verdicts = {name: [{} for _ in questions] for name in given}
    ask = _Asking(judge, store, tell)
    if judge.plan.of == "answers":
        faults = [f for name in given for f in _alone(ask, questions, name, given, found)]
    else:
        if rival is None:
            raise OptionError("a judge of pairs needs two columns: judge answers instead")
        faults = _pairs(ask, questions, list(given)[-1], rival, given, found)
    return found, faults


class _Asking:
    """The judge, asked in batches, with what it said before."""

    def __init__(self, judge: Judge, store: AnswerStore, tell: Callable[[str, int], Tell]) -> None:
        self.criterion, self.labels = judge.plan.criterion, judge.labels
        self._judge, self._store, self._tell = judge, store, tell

    def verdicts(self, asked: Sequence[Question]) -> list[float | ValueError]:
        """A number each, or what is wrong with what was said."""
        plan, column = self._judge.plan, self._judge.column
        tell = self._tell(f"{column.name} judges", len(asked))
        said = answers(column, asked, Draw(plan.max_tokens), self._store, tell)
        return [_verdict(answer.text, plan.of == "pairs") for answer in said]


def _alone(
    ask: _Asking, questions: Sequence[Question], name: str, given: Given, found: Verdicts
) -> list[Fault]:
    texts = [answer.text for answer in given[name]]
    asked = [alone(q, text, ask.criterion) for q, text in zip(questions, texts, strict=True)]
    faults = []
    for n, value in enumerate(ask.verdicts(asked)):
        label = ask.labels.of(questions[n].id, texts[n])
        found[name][n] |= {} if label is None else {LABEL: label}
        if isinstance(value, ValueError):
            faults.append(Fault(questions[n].id, name, JUDGE, str(value)))
        else:
            found[name][n][JUDGE] = value
    return faults


def _pairs(
    ask: _Asking,
    questions: Sequence[Question],
    new: str,
    rival: str,
    given: Given,
    found: Verdicts,
) -> list[Fault]:
    both = [(one.text, other.text) for one, other in zip(given[new], given[rival], strict=True)]
    orders = [(n, texts) for n, (a, b) in enumerate(both) for texts in ((a, b), (b, a))]
    asked = [pair(questions[n], *texts, ask.criterion) for n, texts in orders]
    values, faults = ask.verdicts(asked), []
    for n, texts in enumerate(both):
        first, second = values[2 * n : 2 * n + 2]
        if (label := ask.labels.of(questions[n].id, *texts)) is not None:
            found[new][n][LABEL], found[rival][n][LABEL] = label, 1 - label
        if isinstance(first, ValueError) or isinstance(second, ValueError):
            wrong = first if isinstance(first, ValueError) else second
            faults.append(Fault(questions[n].id, new, JUDGE, str(wrong)))
            continue
        preferred = (first + 1 - second) / 2
        found[new][n] |= {JUDGE: preferred, STEADY: float(first == 1 - second)}
        found[rival][n][JUDGE] = 1 - preferred
    return faults


def _verdict(text: str, of_pairs: bool) -> float | ValueError:
    try:
        return verdict(text, of_pairs)
    except ValueError as error:
        return error
