"""One answer under way: the next token drawn from logits, and when it ends. Knows no runtime.

Shape legend: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from customize.interfaces.backend import Sampling
from customize.interfaces.renderer import Renderer
from customize.interfaces.runtime import Query, Said

Doubles = npt.NDArray[np.float64]


class Answering:
    """What a runtime needs beside logits to answer a query, the same in each.

    Token t is drawn by the first number that counter t of a Philox generator keyed (seed, index)
    gives,
    as sessions draw: order and batch size change nothing.
    """

    def __init__(self, query: Query, renderer: Renderer) -> None:
        self._query, self._renderer = query, renderer
        key = np.array([query.seed % 2**64, query.index], np.uint64)
        self._generator = np.random.Generator(np.random.Philox(key=key))
        self.tokens: list[int] = []
        self.over = False

    def draw(self, logits_V: npt.ArrayLike) -> Said:
        """The next token; afterwards ``over`` says whether it was the last."""
        sampling = self._query.sampling
        plain_V = _log_softmax(np.asarray(logits_V, np.float64))
        uniform = self._generator.random(4)[0]
        token = int(plain_V.argmax())
        if sampling.temperature > 0:
            mass_V = np.cumsum(np.exp(_shaped(plain_V, sampling)))
            found = np.searchsorted(mass_V, uniform * mass_V[-1], side="right")
            token = min(int(found), len(mass_V) - 1)
        self.tokens.append(token)
        full = len(self.tokens) == sampling.max_tokens
        self.over = full or has_stopped(self.tokens, sampling, self._renderer)
        return Said(token, float(plain_V[token]), _likeliest(plain_V, self._query.top_logprobs))


def has_stopped(tokens: Sequence[int], sampling: Sampling, renderer: Renderer) -> bool:
    """Whether the last token, or the text so far, ends an answer."""
    stops = renderer.stop_tokens if sampling.stop_tokens is None else sampling.stop_tokens
    if tokens[-1] in stops:
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
