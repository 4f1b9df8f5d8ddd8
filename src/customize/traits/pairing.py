"""Undesired answers, each beside a desired one. Knows answers, and no model and no file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Literal

import attrs

from customize._errors import DataError
from customize.evaluation.expectations import Expectation, said
from customize.evaluation.questions import Question
from customize.evaluation.scorers.degeneration import says_something
from customize.interfaces.scorer import Answer
from customize.traits.trait import Trait

Source = Literal["given", "sampled", "rewritten"]


@attrs.frozen
class Pair:
    """source: where the desired answer is from."""

    question: Question
    chosen: str
    rejected: str
    source: Source

    def to_json(self, trait: str) -> dict[str, Any]:
        """A preference row."""
        asked = {"prompt": [dict(message) for message in self.question.messages]}
        beside = {"tools": self.question.tools, "documents": self.question.documents}
        given = {key: list(value) for key, value in beside.items() if value}
        sides = {"chosen": self.chosen, "rejected": self.rejected}
        return {"trait": trait, **asked, **given, **sides, "source": self.source}


@attrs.frozen
class Found:
    """What was found among the answers to one question.

    num_shown: answers that show the trait. num_empty, num_cut: those of them that say nothing, and
    that were cut off. faults: of those that could not be judged.
    """

    pairs: tuple[Pair, ...]
    num_answers: int
    num_shown: int
    num_empty: int
    num_cut: int
    faults: tuple[str, ...]


def check_given(trait: Trait, questions: Sequence[Question]) -> None:
    """Whether the given answers are free of the trait, as far as can be told without a judge.

    Raises:
        DataError: one shows it.
    """
    given = [(question, _good(trait, question)) for question in questions]
    both = [(said(text), question.row) for question, texts in given for text in texts]
    trait.unjudged.prepare([answer for answer, _ in both], [row for _, row in both])
    for question, texts in given:
        _refuse_shown(trait, trait.unjudged, question, texts)


def prepare(
    trait: Trait, questions: Sequence[Question], answers: Sequence[Sequence[Answer]]
) -> None:
    """Tell the trait's scorers of all that `found_in` will ask them about."""
    both = [
        (answer, question.row)
        for question, each in zip(questions, answers, strict=True)
        for answer in (*each, *map(said, _good(trait, question)))
    ]
    trait.expectation.prepare([answer for answer, _ in both], [row for _, row in both])


def found_in(trait: Trait, question: Question, answers: Sequence[Answer], most: int) -> Found:
    """Pairs from the answers to a question, ``most`` at most; the first answer is rejected first.

    A desired answer is a given one, else one of the answers themselves, the likeliest a token of
    those that do not show the trait, else an undesired one rewritten by the trait's rule.

    Raises:
        DataError: a given answer shows the trait itself.
    """
    faults: list[str] = []
    judged = [(answer, _shown(trait, question, answer, faults)) for answer in answers]
    undesired = [answer for answer, shown in judged if shown]
    speaking = [answer for answer in undesired if says_something(answer)]
    good = [answer for answer, shown in judged if shown is False and answer.finished]
    desired: list[tuple[str, Source]] = [(text, "given") for text in _given(trait, question)]
    best = sorted(good, key=_likelihood, reverse=True)
    best = [answer for answer in best if _as_expected(question, answer)]
    desired += [(text, "sampled") for text in _texts(best)]
    pairs = _paired(trait, question, _texts(undesired), desired)
    return Found(
        tuple(islice(pairs, most)),
        num_answers=len(judged),
        num_shown=len(undesired),
        num_empty=len(undesired) - len(speaking),
        num_cut=sum(not answer.finished for answer in speaking),
        faults=tuple(faults),
    )


def _texts(answers: Sequence[Answer]) -> list[str]:
    """Each once; a side of a pair is text, which a mere call of a tool has not."""
    return [*dict.fromkeys(answer.text for answer in answers if answer.text.strip())]


def _paired(
    trait: Trait,
    question: Question,
    undesired: Sequence[str],
    desired: Sequence[tuple[str, Source]],
) -> Iterator[Pair]:
    for number, rejected in enumerate(undesired):
        if desired:
            chosen, source = desired[number % len(desired)]
            yield Pair(question, chosen, rejected, source)
        elif (text := _rewritten(trait, question, rejected)) is not None:
            yield Pair(question, text, rejected, "rewritten")


def _given(trait: Trait, question: Question) -> list[str]:
    texts = _good(trait, question)
    _refuse_shown(trait, trait.expectation, question, texts)
    return texts


def _refuse_shown(
    trait: Trait, expectation: Expectation, question: Question, texts: Sequence[str]
) -> None:
    for text in texts:
        if not expectation.holds(said(text), question.row):
            raise DataError(
                f"the good answer {text[:60]!r} to {question.text[:60]!r} shows the trait "
                f"{trait.name} itself: correct the answer, or what the trait expects"
            )


def _good(trait: Trait, question: Question) -> list[str]:
    own = question.row.get("answer")
    return [str(own)] if own else _rotated(trait.answers, question)


def _rotated(texts: Sequence[str], question: Question) -> list[str]:
    """Beginning elsewhere for each question, so that no one answer is learnt by heart."""
    first = int(question.hash[:8], 16) % max(len(texts), 1)
    return [*texts[first:], *texts[:first]]


def _rewritten(trait: Trait, question: Question, text: str) -> str | None:
    if trait.rule is None:
        return None
    made = trait.rule.applied(text, question.row)
    if not made or trait.shown(said(made), question.row):
        return None
    return made if _as_expected(question, said(made)) else None


def _shown(trait: Trait, question: Question, answer: Answer, faults: list[str]) -> bool | None:
    """None where a scorer failed: such an answer is on neither side."""
    try:
        return trait.shown(answer, question.row)
    except Exception as error:
        faults.append(f"{type(error).__name__}: {error}")
        return None


def _as_expected(question: Question, answer: Answer) -> bool:
    """Whether it also keeps what the row itself expects, if it does."""
    return question.expectation is None or question.expectation.holds(answer, question.row)


def _likelihood(answer: Answer) -> float:
    """Nats a token: the likeliest desired answer is the least step from what the model says."""
    return (answer.logprob or 0.0) / max(answer.num_tokens, 1)
