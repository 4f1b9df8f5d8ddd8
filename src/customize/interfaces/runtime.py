"""Runtimes: a package that is loaded to answer. Know no server, and not how a package was made.

Shape legend: T tokens, V vocabulary.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import attrs
import numpy as np
import numpy.typing as npt

from customize._batch import Floats, Ints
from customize._errors import DataError, OptionError, Unsupported
from customize.interfaces.renderer import Message, Renderer, Tool
from customize.interfaces.sampling import Sampling


def _tokens(values: npt.ArrayLike) -> Ints:
    return np.asarray(values, np.int32)


@attrs.frozen(eq=False)
class Query:
    """A prompt to answer, int32 [T].

    index: which of several answers to the same prompt this is; each is drawn anew.
    adapter: one of the runtime's ``adapters``; None is the base's own weights, or the merged ones.
    top_logprobs: so many of the likeliest tokens are told with each one that is drawn.
    schema: a JSON schema, as text, that the answer fits, unless it is cut at ``max_tokens``.
    """

    tokens: Ints = attrs.field(converter=_tokens)
    sampling: Sampling = attrs.field(factory=Sampling)
    seed: int = 0
    index: int = 0
    adapter: str | None = None
    top_logprobs: int = 0
    schema: str | None = None


@attrs.frozen
class Said:
    """One token as it is drawn.

    logprob: at temperature 1, nothing cut off. top: the likeliest tokens with theirs.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class Runtime(ABC):
    """A loaded package. Several threads may ask at once; what is under way together is batched.

    adapters: names, the package's own first; none where its weights are whole or merged.
    context: tokens of prompt and answer together, at most.
    slots: how many queries are answered at once; more wait.
    fits_schemas: whether answers can be held to a ``schema``: they are where `Answering` draws.
    """

    renderer: Renderer
    adapters: tuple[str, ...]
    context: int
    slots: int
    fits_schemas: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def open(
        cls,
        folder: Path,
        adapters: Mapping[str, Path] = {},
        base: Path | None = None,
    ) -> Runtime:
        """Load a package.

        Args:
            adapters: packages of other customizations of the same base, by name.
            base: the model's folder, where the package holds an adapter alone; whoever opens it
                has looked that it is the base the adapter was made for.

        Raises:
            ExportError: it cannot be loaded; the message says what is missing.
        """

    def check(self, query: Query) -> None:
        """Refuse what cannot be answered, before it waits for a slot; ``stream`` calls it.

        Raises:
            DataError: the prompt is empty, or leaves no room for an answer.
            OptionError: no adapter has that name, or ``prompt_logprobs`` are asked for.
            Unsupported: a ``schema`` is given, and this runtime holds to none.
        """
        self.check_adapter(query.adapter)
        if not len(query.tokens):
            raise DataError("the prompt is empty: an answer needs a token to go on from")
        if len(query.tokens) >= self.context:
            raise DataError(
                f"{len(query.tokens)} tokens leave no room for an answer in {self.context}: "
                "shorten the prompt"
            )
        if query.sampling.prompt_logprobs:
            raise OptionError("a runtime tells no prompt_logprobs: ask its logprobs")
        if query.schema is not None and not self.fits_schemas:
            raise Unsupported(
                f"{type(self).__name__} cannot hold an answer to a schema: runs, and packages of "
                "onnx, gguf and hf can"
            )

    def check_adapter(self, adapter: str | None) -> None:
        """
        Raises:
            OptionError: none is called so.
        """
        if adapter is not None and adapter not in self.adapters:
            told = ", ".join(self.adapters) or "none"
            raise OptionError(f"no adapter is called {adapter!r}: there are {told}")

    @abstractmethod
    def stream(self, query: Query, cancelled: threading.Event | None = None) -> Iterator[Said]:
        """The answer, token by token, up to a stop token (which is told too), a stop text,
        ``max_tokens`` or the end of the context. Closing the iterator, or setting ``cancelled``,
        frees the slot.

        The answer's token at place t draws from a counter-based generator keyed (seed, index, t).

        Raises:
            DataError, OptionError, Unsupported: as `check`, here or when the first token is asked
                for. DataError, Unsupported, MissingDependency: the answer cannot be held to the
                ``schema``.
            BackendError: the runtime was closed meanwhile.
        """

    @abstractmethod
    def logprobs(self, tokens: Ints, start: int, adapter: str | None = None) -> Floats:
        """Log-probabilities of every token at each place from ``start`` on, given what precedes
        it: float32 [T - start, V].
        """

    def own_prompt(self, messages: Sequence[Message], tools: Sequence[Tool] | None = None) -> Ints:
        """The prompt as this runtime's users get it without customize: by its own tokenizer and
        template engine, from the package's files. The renderer's, where it has none of its own.
        """
        return self.renderer.prompt(messages, tools)

    def own_stops(self) -> Mapping[str, frozenset[int]]:
        """Stop tokens that other programs than customize read of the package, by the name of the
        file in which they read them. Empty, where there are none.
        """
        return {}

    def close(self) -> None:  # noqa: B027  # nothing to free is common
        """Free what is held; queries under way end, and say so."""
