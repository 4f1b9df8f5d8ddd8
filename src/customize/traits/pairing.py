"""Undesired answers, each beside a desired one. Knows answers, and no model and no file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal

import attrs

from customize._errors import DataError
from customize.data.texts import written
from customize.evaluation.expectations import said
from customize.evaluation.questions import Question
from customize.evaluation.scorers.degeneration import says_something
from customize.interfaces.renderer import Message
from customize.interfaces.scorer import Answer
from customize.traits.trait import Trait

Source = Literal["given", "sampled", "rewritten"]
# Whether a model's chat template writes the message as an answer to the question.
Writes = Callable[[Question, Message], bool]
# A text, or a message where a text would lose what a call or the reasoning is.
Side = str | Message


@attrs.frozen
class Pair:
    """source: where the desired answer is from."""

    question: Question
    chosen: Side
    rejected: Side
    source: Source

    def to_json(self, trait: str) -> dict[str, Any]:
        """A preference row."""
        asked = {"prompt": [dict(message) for message in self.question.messages]}
        beside = {"tools": self.question.tools, "documents": self.question.documents}
        given = {key: list(value) for key, value in beside.items() if value}
        sides = {"chosen": _listed(self.chosen), "rejected": _listed(self.rejected)}
        return {"trait": trait, **asked, **given, **sides, "source": self.source}


@attrs.frozen
class Found:
    """What was found among the answers to one question.

    num_shown: answers that show the trait. num_empty, num_cut: those of them that say nothing, and
    that were cut off. num_usable: those of them that a pair can hold, each once.
    num_thoughts: answers that say nothing after their reasoning. num_unwritten: answers whose calls
    or reasoning no pair can hold.
    num_refused: given answers that show the trait by its judge, or that could not be judged.
    faults: of answers that could not be judged. unmade: of those that could not be rewritten.
    """

    pairs: tuple[Pair, ...]
    num_answers: int
    num_shown: int
    num_empty: int
    num_cut: int
    num_usable: int
    num_thoughts: int
    num_unwritten: int
    num_refused: int
    faults: tuple[str, ...]
    unmade: tuple[str, ...]


def check_given(trait: Trait, questions: Sequence[Question]) -> None:
    """Whether the given answers are free of the trait, as far as can be told without a judge.

    Raises:
        DataError: one shows it, or a scorer fails on it.
    """
    given = [(question, _good(trait, question)) for question in questions]
    both = [(said(text), question.row) for question, texts in given for text in texts]
    trait.unjudged.prepare([answer for answer, _ in both], [row for _, row in both])
    for question, texts in given:
        _refuse_shown(trait, question, texts)


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


def found_in(
    trait: Trait,
    question: Question,
    answers: Sequence[Answer],
    most: int,
    writes: Writes = lambda question, message: True,
) -> Found:
    """Pairs from the answers to a question, ``most`` at most; the first answer is rejected first.

    A desired answer is a given one, else one of the answers themselves, the likeliest a token of
    those that do not show the trait, else an undesired one rewritten by the trait's rule.

    Raises:
        DataError: a given answer shows the trait itself, by a rule.
    """
    looked = _Looking(trait, question, writes)
    judged = [(answer, looked.shown(answer)) for answer in answers]
    undesired = [answer for answer, shown in judged if shown]
    speaking = [answer for answer in undesired if says_something(answer)]
    good = [answer for answer, shown in judged if shown is False and answer.finished]
    best = [each for each in sorted(good, key=_likelihood, reverse=True) if looked.expected(each)]
    desired: list[tuple[Side, Source]] = [(text, "given") for text in looked.given()]
    desired += [(side, "sampled") for side, _ in looked.sides(best)]
    rejected = looked.sides(speaking)
    pairs = tuple(islice(looked.paired(rejected, desired), most))
    return Found(
        pairs,
        num_answers=len(judged),
        num_shown=len(undesired),
        num_empty=len(undesired) - len(speaking),
        num_cut=sum(not answer.finished for answer in speaking),
        num_usable=len(rejected),
        num_thoughts=looked.num_thoughts,
        num_unwritten=looked.num_unwritten,
        num_refused=looked.num_refused,
        faults=tuple(looked.faults),
        unmade=tuple(looked.unmade),
    )


@attrs.define
class _Looking:
    """At the answers to one question, and what goes wrong with it."""

    trait: Trait
    question: Question
    writes: Writes
    num_thoughts: int = 0
    num_unwritten: int = 0
    num_refused: int = 0
    faults: list[str] = attrs.field(factory=list)
    unmade: list[str] = attrs.field(factory=list)

    def shown(self, answer: Answer) -> bool | None:
        """None where a scorer failed: such an answer is on neither side."""
        try:
            return self.trait.shown(answer, self.question.row)
        except Exception as error:
            self.faults.append(_told(error))
            return None

    def expected(self, answer: Answer) -> bool:
        """Whether it also keeps what the row itself expects, if it does."""
        try:
            expectation = self.question.expectation
            return expectation is None or expectation.holds(answer, self.question.row)
        except Exception as error:
            self.faults.append(_told(error))
            return False

    def given(self) -> list[str]:
        """The good answers that are known, without those that a judge does not find good."""
        texts = _good(self.trait, self.question)
        _refuse_shown(self.trait, self.question, texts)
        kept = [text for text in texts if self.shown(said(text)) is False]
        self.num_refused += len(texts) - len(kept)
        return kept

    def sides(self, answers: Sequence[Answer]) -> list[tuple[Side, Answer]]:
        """Each once, as a pair has it."""
        found: dict[str, tuple[Side, Answer]] = {}
        for answer in answers:
            if _only_reasons(answer):
                self.num_thoughts += 1
            elif (side := self._side(answer)) is None:
                self.num_unwritten += 1
            else:
                found.setdefault(repr(side), (side, answer))
        return [*found.values()]

    def paired(
        self, undesired: Sequence[tuple[Side, Answer]], desired: Sequence[tuple[Side, Source]]
    ) -> Iterator[Pair]:
        for number, (rejected, answer) in enumerate(undesired):
            if desired:
                chosen, source = desired[number % len(desired)]
                yield Pair(self.question, chosen, rejected, source)
            elif (made := self._rewritten(answer)) is not None:
                yield Pair(self.question, made, rejected, "rewritten")

    def _side(self, answer: Answer) -> Side | None:
        """None where no pair can hold it, as the chat template does not write its call."""
        if not _has_parts(answer):
            return answer.text
        message = answer.message
        if self.writes(self.question, message):
            return dict(message)
        # Reasoning that the template has no place for is text to it, and so it was said.
        return None if message.get("tool_calls") else answer.text

    def _rewritten(self, answer: Answer) -> Side | None:
        """What is said by the rule; calls and reasoning stay as they are."""
        try:
            made = _with_content(answer, self._by_rule(_content(answer)))
        except Exception as error:
            self.unmade.append(_told(error))
            return None
        if made is None or _only_reasons(made) or (shown := self.shown(made)) is None:
            return None
        if shown:
            self.unmade.append("the rule leaves the trait in it: change the rule, or give answers")
            return None
        return self._side(made) if self.expected(made) else None

    def _by_rule(self, text: str) -> str | None:
        rule = self.trait.rule
        return rule.applied(text, self.question.row) if rule and text.strip() else None


def _has_parts(answer: Answer) -> bool:
    """Whether it is more than a text."""
    return bool(answer.message.get("tool_calls") or answer.message.get("reasoning_content"))


def _content(answer: Answer) -> str:
    return str(answer.message.get("content") or "") if _has_parts(answer) else answer.text


def _only_reasons(answer: Answer) -> bool:
    """Whether nothing is said after the reasoning; many are cut off before anything is."""
    return not says_something(attrs.evolve(answer, text=_content(answer)))


def _with_content(answer: Answer, content: str | None) -> Answer | None:
    """The answer with something else said, and the rest of it as it was."""
    if not content or not _has_parts(answer):
        return said(content) if content else None
    message = {**answer.message, "content": content}
    return attrs.evolve(answer, text=_with_text(answer, message), message=message)


def _with_text(answer: Answer, message: Message) -> str:
    """The answer's text with the message's content, which comes last where nothing is called; the
    parts of the message where it has no one place beside calls.
    """
    content = _content(answer)
    if answer.text.count(content) == 1 or not message.get("tool_calls"):
        before, _, after = answer.text.rpartition(content)
        return f"{before}{message['content']}{after}"
    return f"{message.get('reasoning_content') or ''}\n{written(message)}".strip()


def _listed(side: Side) -> str | list[dict[str, Any]]:
    return side if isinstance(side, str) else [dict(side)]


def _refuse_shown(trait: Trait, question: Question, texts: Sequence[str]) -> None:
    """By the rules alone: a judge that is wrong once in a hundred must not stop everything."""
    for text in texts:
        what = f"the good answer {text[:60]!r} to {question.text[:60]!r}"
        try:
            is_free = trait.unjudged.holds(said(text), question.row)
        except Exception as error:
            raise DataError(
                f"{trait.name}: {what} cannot be judged ({_told(error)}): correct the answer, or "
                "what the trait expects"
            ) from error
        if not is_free:
            raise DataError(
                f"{what} shows the trait {trait.name} itself: correct the answer, or what the "
                "trait expects"
            )


def _good(trait: Trait, question: Question) -> list[str]:
    own = question.row.get("answer")
    return [str(own)] if own else _rotated(trait.answers, question)


def _rotated(texts: Sequence[str], question: Question) -> list[str]:
    """Beginning elsewhere for each question, so that no one answer is learnt by heart."""
    first = int(question.hash[:8], 16) % max(len(texts), 1)
    return [*texts[first:], *texts[:first]]


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _likelihood(answer: Answer) -> float:
    """Nats a token: the likeliest desired answer is the least step from what the model says."""
    return (answer.logprob or 0.0) / max(answer.num_tokens, 1)
