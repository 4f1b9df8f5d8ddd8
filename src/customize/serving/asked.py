"""A request that can be answered, and the queries it comes to. Knows nothing of its form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence, Set
from typing import Self

import attrs

from customize._batch import Ints
from customize.interfaces.index import Hit
from customize.interfaces.renderer import Message, Tool
from customize.interfaces.runtime import Query
from customize.interfaces.sampling import Sampling
from customize.serving.limits import Limits
from customize.serving.menu import Served
from customize.serving.refusal import Refusal
from customize.serving.schema_trial import check_schema


@attrs.frozen(kw_only=True)
class Asked(ABC):
    """A request that can be answered.

    max_tokens: None where the request names none. top_logprobs: None where no log-probabilities
    are wanted. stops: texts that end the answer, and are not part of it. schema: which it fits.
    """

    served: Served
    num_choices: int
    max_tokens: int | None
    temperature: float
    top_p: float
    seed: int
    stops: tuple[str, ...]
    top_logprobs: int | None
    stream: bool
    include_usage: bool
    schema: str | None = None

    def ready(self) -> Self:
        """The same with all that its prompts need; may take a while.

        Raises:
            Refusal: it cannot be had.
        """
        return self

    @abstractmethod
    def prompts(self) -> list[Ints]:
        """Tokens of each prompt; may take a while.

        Raises:
            CustomizeError: the template refuses what is given.
        """

    @property
    @abstractmethod
    def num_answers(self) -> int:
        """Choices of all prompts together."""

    def queries(self, limits: Limits) -> list[Query]:
        """One for each choice, those of a prompt side by side.

        Raises:
            Refusal: a prompt leaves no room for the answer.
            CustomizeError: the runtime refuses, or the schema takes too much.
        """
        queries = [
            Query(
                prompt,
                self._sampling(len(prompt), limits),
                seed=self.seed,
                index=choice,
                adapter=self.served.adapter,
                top_logprobs=self.top_logprobs or 0,
                schema=self.schema,
            )
            for prompt in self.prompts()
            for choice in range(self.num_choices)
        ]
        for query in queries:
            self.served.desk.runtime.check(query)
        if self.schema is not None:
            check_schema(self.schema)
        return queries

    def _sampling(self, num_prompt: int, limits: Limits) -> Sampling:
        room = self.served.context - num_prompt
        if room < (self.max_tokens or 1):
            raise Refusal(
                400,
                f"the prompt has {num_prompt} tokens, and with max_tokens={self.max_tokens or 1} "
                f"that is more than the {self.served.context} that {self.served.name} can hold",
                code="context_length_exceeded",
            )
        tokens = self.max_tokens or min(limits.max_tokens, room)
        return Sampling(max_tokens=tokens, temperature=self.temperature, top_p=self.top_p)


@attrs.frozen(kw_only=True)
class AskedChat(Asked):
    """Messages to answer; ``tools`` that may be called, or None.

    tags: the asker's, which documents may ask for. hits: the passages that are shown, where the
    model answers from documents and they have been searched.
    """

    messages: Sequence[Message]
    tools: Sequence[Tool] | None
    tags: Set[str] = frozenset()
    hits: Sequence[Hit] | None = None

    def ready(self) -> Self:
        library = self.served.library
        if library is None:
            return self
        place = len(self.messages) - 1
        if self.messages[place]["role"] != "user":
            reason = f"{self.served.name} answers from documents: the last is to be a question"
            raise Refusal(400, f"messages: {reason}", param="messages")
        hits = library.hits(str(self.messages[place]["content"]), self.tags)
        shown = [hit.chunk for hit in hits]
        within = library.grounding.within(self.messages, place, shown)
        return attrs.evolve(self, messages=within, hits=hits)

    def prompts(self) -> list[Ints]:
        return [self.served.renderer.prompt(self.messages, self.tools)]

    @property
    def num_answers(self) -> int:
        return self.num_choices


@attrs.frozen(kw_only=True)
class AskedCompletion(Asked):
    """Texts, or tokens, to go on from."""

    given: Sequence[str | Ints]

    def prompts(self) -> list[Ints]:
        encode = self.served.renderer.encode_text
        return [encode(one) if isinstance(one, str) else one for one in self.given]

    @property
    def num_answers(self) -> int:
        return self.num_choices * len(self.given)
