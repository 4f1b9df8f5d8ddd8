"""Columns: those who answer the rows. Know nothing of right and wrong."""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence

import attrs
import numpy as np

from customize._batch import Batch, Floats
from customize._errors import Unsupported
from customize.evaluation.prompting import Prompting
from customize.evaluation.questions import Question
from customize.interfaces.backend import Completion, Prompt, Sampling, Snapshot
from customize.interfaces.renderer import Message
from customize.interfaces.scorer import Answer, Likelihood


class Column(ABC):
    """Someone who answers. told: who that is, in a line."""

    name: str
    told: str

    @abstractmethod
    def key(self, question: Question, max_tokens: int) -> str | None:
        """What the answer is a function of, hashed; None where that is not known."""

    @abstractmethod
    def answers(self, questions: Sequence[Question], max_tokens: int) -> list[Answer]:
        """One answer each, the likeliest."""

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

    def key(self, question: Question, max_tokens: int) -> str | None:
        if self.fingerprint is None:
            return None
        parts = (self.fingerprint, str(max_tokens), self._prompt(question).tobytes().hex())
        return hashlib.sha256("|".join(parts).encode()).hexdigest()

    def answers(self, questions: Sequence[Question], max_tokens: int) -> list[Answer]:
        prompts = [Prompt(self._prompt(question)) for question in questions]
        found = self._drawn(prompts, Sampling(max_tokens=max_tokens, temperature=0.0))
        return [answer for [answer] in found]

    def samples(
        self, questions: Sequence[Question], n: int, sampling: Sampling, seed: int
    ) -> list[list[Answer]]:
        """``n`` answers to each question, drawn."""
        prompts = [Prompt(self._prompt(question), n, seed) for question in questions]
        return self._drawn(prompts, sampling)

    def _drawn(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Answer]]:
        ended: dict[tuple[int, int], float] = {}
        begun = time.monotonic()

        def on_token(prompt: int, completion: int, token: int) -> None:
            ended[prompt, completion] = time.monotonic() - begun

        completions = self.snapshot.sample(prompts, sampling, on_token).result()
        share_s = (time.monotonic() - begun) / max(sum(map(len, completions)), 1)
        return [
            [
                self._answer(prompt, one, ended.get((i, j), 0.0), share_s)
                for j, one in enumerate(drawn)
            ]
            for i, (prompt, drawn) in enumerate(zip(prompts, completions, strict=True))
        ]

    def likelihoods(self, replies: Sequence[tuple[Question, str]]) -> list[Likelihood]:
        rows = [self._reply(question, text) for question, text in replies]
        batch = Batch.from_sequences([(tokens, {"weights": weights}) for tokens, weights in rows])
        logprobs_S = batch.sum_by_sequence(self.snapshot.forward(batch).result())
        return [
            Likelihood(float(logprob), int((weights != 0).sum()))
            for logprob, (_, weights) in zip(logprobs_S, rows, strict=True)
        ]

    def _answer(
        self, prompt: Prompt, completion: Completion, latency_s: float, share_s: float
    ) -> Answer:
        renderer = self.snapshot.renderer
        return Answer(
            text=renderer.decode(completion.tokens).strip(),
            message=renderer.parse(completion.tokens),
            num_prompt_tokens=len(prompt.tokens),
            num_tokens=len(completion.tokens),
            logprob=float(completion.logprobs.sum()),
            finished=completion.stop_reason == "stop",
            latency_s=latency_s,
            share_s=share_s,
        )

    def _prompt(self, question: Question) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        messages = self.prompting.applied(question.messages)
        return self.snapshot.renderer.prompt(messages, question.tools, question.documents)

    def _reply(
        self, question: Question, text: str
    ) -> tuple[np.ndarray[tuple[int], np.dtype[np.int32]], Floats]:
        messages: list[Message] = self.prompting.applied(question.messages)
        renderer, beside = self.snapshot.renderer, (question.tools, question.documents)
        whole = renderer.render([*messages, {"role": "assistant", "content": text}], *beside)
        if not any(message["role"] == "assistant" for message in messages):
            return whole.tokens, whole.weights
        asked = len(renderer.prompt(messages, *beside))
        if not np.array_equal(whole.tokens[:asked], renderer.prompt(messages, *beside)):
            raise Unsupported("the chat template rewrites earlier turns: no likelihood of the last")
        return whole.tokens, np.where(np.arange(len(whole.tokens)) < asked, 0, whole.weights)
