"""One answer under way: the next token drawn from logits, and when it ends. Knows no runtime.

Shape legend: V vocabulary, K tokens that are known, the likeliest first.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from customize.interfaces.renderer import Renderer
from customize.interfaces.runtime import Query, Said
from customize.interfaces.sampling import Sampling
from customize.packaging.deciding import Doubles, Others, decided
from customize.packaging.fitting import Fitting


class Answering:
    """What a runtime needs beside logits to answer a query, the same in each.

    Token t is drawn by the first number that counter t of a Philox generator keyed (seed, index)
    gives, as sessions draw: order and batch size change nothing. Prompt and answer are at most
    ``context`` tokens. Where the query has a ``schema`` only what still fits it is drawn.

    Raises:
        DataError, Unsupported, MissingDependency: it cannot be held to that schema.
    """

    def __init__(self, query: Query, renderer: Renderer, context: int) -> None:
        self._query, self._renderer = query, renderer
        self._most = min(query.sampling.max_tokens, context - len(query.tokens))
        key = np.array([query.seed % 2**64, query.index], np.uint64)
        self._generator = np.random.Generator(np.random.Philox(key=key))
        self._uniforms: list[float] = []
        schema, stops = query.schema, _stops(query.sampling, renderer)
        self._fitting = None if schema is None else Fitting(schema, renderer, stops)
        self._allowed_V: npt.NDArray[np.bool_] | None = None
        self.tokens: list[int] = []
        self.over = False

    def draw(self, logits_V: npt.ArrayLike) -> Said:
        """The next token; afterwards ``over`` says whether it was the last."""
        sampling = self._query.sampling
        plain_V = _log_softmax(np.asarray(logits_V, np.float64))
        allowed_V = self._allowed(len(plain_V))
        open_V = plain_V if allowed_V is None else np.where(allowed_V, plain_V, -np.inf)
        token = int(open_V.argmax())
        if sampling.temperature > 0:
            mass_V = np.cumsum(np.exp(_shaped(open_V, sampling)))
            found = np.searchsorted(mass_V, self._uniform() * mass_V[-1], side="right")
            token = min(int(found), len(mass_V) - 1)
        self._take(token)
        return Said(token, float(plain_V[token]), _likeliest(plain_V, self._query.top_logprobs))

    def draw_among(
        self, ids_K: npt.NDArray[np.int64], logprobs_K: Doubles, size: int
    ) -> Said | None:
        """The same token, where the likeliest of ``size`` decide it; else None: ask for more."""
        others = Others.than(logprobs_K, size)
        open_K, allowed_V = np.ones(len(ids_K), bool), self._allowed(size)
        if allowed_V is not None:
            open_K = allowed_V[ids_K]
            others = others.among(int(allowed_V.sum() - open_K.sum()))
        sampling = self._query.sampling
        token = decided(ids_K[open_K], logprobs_K[open_K], others, sampling, self._uniform())
        if token is None:
            return None
        self._take(token)
        known = dict(zip(ids_K.tolist(), logprobs_K.tolist(), strict=True))
        top = tuple(known.items())[: self._query.top_logprobs]
        return Said(token, known[token], top)

    def _uniform(self) -> float:
        """The number by which the next token is drawn, the same until it is."""
        if len(self._uniforms) == len(self.tokens):
            self._uniforms.append(self._generator.random(4)[0])
        return self._uniforms[-1]

    def _allowed(self, size: int) -> npt.NDArray[np.bool_] | None:
        """Tokens with which the answer still fits, or None where every one does."""
        if self._fitting is not None and self._allowed_V is None:
            self._allowed_V = self._fitting.allowed(size)
        return self._allowed_V

    def _take(self, token: int) -> None:
        self.tokens.append(token)
        full = len(self.tokens) == self._most
        self.over = full or has_stopped(self.tokens, self._query.sampling, self._renderer)
        if self._fitting is not None:
            self._fitting.take(token)
            self._allowed_V = None


def _stops(sampling: Sampling, renderer: Renderer) -> Sequence[int]:
    return renderer.stop_tokens if sampling.stop_tokens is None else sampling.stop_tokens


def has_stopped(tokens: Sequence[int], sampling: Sampling, renderer: Renderer) -> bool:
    """Whether the last token, or the text so far, ends an answer."""
    if tokens[-1] in _stops(sampling, renderer):
        return True
    if not sampling.stop:
        return False
    text = renderer.decode(np.asarray(tokens, np.int32))
    return any(stop in text for stop in sampling.stop)


def _likeliest(plain_V: Doubles, count: int) -> tuple[tuple[int, float], ...]:
    if not count:
        return ()
    some = np.argpartition(-plain_V, min(count, len(plain_V) - 1))[:count]
    ordered = some[np.lexsort((some, -plain_V[some]))]
    return tuple((int(token), float(plain_V[token])) for token in ordered)


def _shaped(plain_V: Doubles, sampling: Sampling) -> Doubles:
    """Log-probabilities after temperature, top-k and top-p, in that order."""
    shaped_V = _log_softmax(plain_V / sampling.temperature)
    if not sampling.top_k and sampling.top_p >= 1:
        return shaped_V
    order_V = np.argsort(-shaped_V, kind="stable")
    probs_V = np.exp(shaped_V[order_V])
    cut_V = np.cumsum(probs_V) - probs_V >= sampling.top_p
    if sampling.top_k:
        cut_V[sampling.top_k :] = True
    out_V = shaped_V.copy()
    out_V[order_V[cut_V]] = -np.inf
    return out_V


def _log_softmax(logits_V: Doubles) -> Doubles:
    away_V = logits_V - logits_V.max()
    out_V: Doubles = away_V - np.log(np.exp(away_V).sum())
    return out_V
