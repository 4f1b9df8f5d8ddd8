"""Columns: those who answer the rows. Know nothing of right and wrong."""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from customize._batch import Batch, Floats
from customize._errors import Unsupported
from customize._memory import resident_bytes
from customize.evaluation.prompting import Prompting
from customize.evaluation.questions import Question
from customize.interfaces.renderer import Message
from customize.interfaces.sampling import Completion, OnToken, Prompt, Sampling
from customize.interfaces.scorer import Answer, Likelihood
from customize.interfaces.session import Snapshot


@attrs.frozen
class Draw:
    """How an answer is drawn: the likeliest at temperature 0, else the ``number``-th of several."""

    max_tokens: int = 64
    temperature: float = 0.0
    number: int = 0


class Column(ABC):
    """Someone who answers. told: who that is, in a line. family: of models, where it is known."""

    name: str
    told: str
    family: str | None = None

    def as_asked(self, question: Question) -> Question:
        """The question as it is put to this one: with what was found for it, where it searches."""
        return question

    @abstractmethod
    def key(self, question: Question, draw: Draw) -> str | None:
        """What the answer is a function of, hashed; None where that is not known."""

    @abstractmethod
    def answers(self, questions: Sequence[Question], draw: Draw) -> list[Answer]:
        """One answer each."""

    @abstractmethod
    def likelihoods(self, replies: Sequence[tuple[Question, str]]) -> list[Likelihood]:
        """Of each reply to its question.

        Raises:
            Unsupported: it gives no log-probabilities.
        """


@attrs.frozen
class SnapshotColumn(Column):
    """A model in this process. fingerprint: of its weights; None keeps no answers."""

    name: str
    snapshot: Snapshot
    prompting: Prompting = attrs.field(factory=Prompting)
    fingerprint: str | None = None
    told: str = ""
    family: str | None = None

    def key(self, question: Question, draw: Draw) -> str | None:
        if self.fingerprint is None:
            return None
        drawn = str(attrs.astuple(draw)) if draw.temperature else str(draw.max_tokens)
        parts = (self.fingerprint, drawn, self._prompt(question).tobytes().hex())
        return hashlib.sha256("|".join(parts).encode()).hexdigest()

    def answers(self, questions: Sequence[Question], draw: Draw) -> list[Answer]:
        watch = _Watch(self.snapshot)
        drawn = self.drawn(questions, draw, watch.on_token)
        spent = watch.spent(len(drawn))
        return [
            attrs.evolve(self._answer(*each), latency_s=watch.ended.get(number, 0.0), **spent)
            for number, each in enumerate(drawn)
        ]

    def drawn(
        self, questions: Sequence[Question], draw: Draw, on_token: OnToken | None = None
    ) -> list[tuple[Prompt, Completion]]:
        """The same in tokens. A row's seed is of what it asks, so that each has luck of its own."""
        prompts = [
            Prompt(self._prompt(question), seed=int(question.hash[:8], 16) + draw.number)
            for question in questions
        ]
        sampling = Sampling(max_tokens=draw.max_tokens, temperature=draw.temperature)
        completions = self.snapshot.sample(prompts, sampling, on_token).result()
        return [(prompt, one) for prompt, [one] in zip(prompts, completions, strict=True)]

    def likelihoods(self, replies: Sequence[tuple[Question, str]]) -> list[Likelihood]:
        rows = [self._reply(question, text) for question, text in replies]
        batch = Batch.from_sequences([(tokens, {"weights": weights}) for tokens, weights in rows])
        logprobs_S = batch.sum_by_sequence(self.snapshot.forward(batch).result())
        return [
            Likelihood(float(logprob), int((weights != 0).sum()))
            for logprob, (_, weights) in zip(logprobs_S, rows, strict=True)
        ]

    def _answer(self, prompt: Prompt, completion: Completion) -> Answer:
        """Without what it took, which is known of the batch."""
        renderer = self.snapshot.renderer
        return Answer(
            text=renderer.decode(completion.tokens).strip(),
            message=renderer.parse(completion.tokens),
            num_prompt_tokens=len(prompt.tokens),
            num_tokens=len(completion.tokens),
            logprob=float(completion.logprobs.sum()),
            finished=completion.stop_reason == "stop",
            latency_s=0.0,
            share_s=0.0,
        )

    def _prompt(self, question: Question) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        messages = self.prompting.applied(question.messages)
        return self.snapshot.renderer.prompt(messages, question.tools, question.documents)

    def _reply(
        self, question: Question, text: str
    ) -> tuple[np.ndarray[tuple[int], np.dtype[np.int32]], Floats]:
        messages: list[Message] = self.prompting.applied(question.messages)
        renderer, beside = self.snapshot.renderer, (question.tools, question.documents)
        whole = renderer.render([*messages, question.reply(text)], *beside)
        if not any(message["role"] == "assistant" for message in messages):
            return whole.tokens, whole.weights
        asked = len(renderer.prompt(messages, *beside))
        if not np.array_equal(whole.tokens[:asked], renderer.prompt(messages, *beside)):
            raise Unsupported("the chat template rewrites earlier turns: no likelihood of the last")
        return whole.tokens, np.where(np.arange(len(whole.tokens)) < asked, 0, whole.weights)


class _Watch:
    """When each answer of a batch ended, and the most memory that was held meanwhile."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        snapshot.device_peak()  # of what went before
        self._begun = time.monotonic()
        self.ended: dict[int, float] = {}
        self._resident = resident_bytes()

    def on_token(self, prompt: int, completion: int, token: int) -> None:
        self.ended[prompt] = time.monotonic() - self._begun
        if self._resident is not None:
            self._resident = max(self._resident, resident_bytes() or 0)

    def spent(self, num_answers: int) -> dict[str, Any]:
        """What each answer of the batch took, as fields of an `Answer`."""
        seconds = time.monotonic() - self._begun
        return {
            "share_s": seconds / max(num_answers, 1),
            "memory_bytes": self._resident,
            "device_bytes": self._snapshot.device_peak(),
        }
