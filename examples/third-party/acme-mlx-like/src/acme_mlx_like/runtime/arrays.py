"""Arrays that know their gradients. Knows no model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Send = Callable[[Numbers], Numbers]  # from the gradient of a result to that of one of its parts
_PLACES = itertools.count()


class Array:
    """Numbers, and how their gradient goes on to what they were made from."""

    def __init__(self, value: Numbers, parents: Sequence[tuple[Array, Send]] = ()) -> None:
        self.value, self.parents, self.place = value, parents, next(_PLACES)


Value = Array | Numbers  # plain numbers have no gradient, and cost none


def raw(value: Value) -> Numbers:
    return value.value if isinstance(value, Array) else value


def gradients(of: Value, seed: Numbers, leaves: Sequence[Array]) -> list[Numbers]:
    """The gradient of ``(of · seed)`` by each leaf; what was made last is taken first."""
    waiting: dict[Array, Numbers] = {of: seed} if isinstance(of, Array) else {}
    found: dict[Array, Numbers] = {}
    while waiting:
        array = max(waiting, key=lambda waits: waits.place)
        gradient = found[array] = waiting.pop(array)
        for parent, send in array.parents:
            waiting[parent] = waiting.get(parent, 0) + send(gradient)
    return [found.get(leaf, np.zeros_like(leaf.value)) for leaf in leaves]


def _made(value: Numbers, *parts: tuple[Value, Send]) -> Value:
    parents = [(part, send) for part, send in parts if isinstance(part, Array)]
    return Array(value, parents) if parents else value


def einsum(spec: str, *parts: Value) -> Value:
    """numpy's; by each part the gradient is an einsum of the others and the result's gradient."""
    (names, out), values = spec.split("->"), [raw(part) for part in parts]
    each = names.split(",")

    def send(i: int) -> Send:
        back = ",".join([out, *each[:i], *each[i + 1 :]]) + "->" + each[i]
        others = values[:i] + values[i + 1 :]
        return lambda gradient: np.asarray(np.einsum(back, gradient, *others, optimize=True))

    value = np.asarray(np.einsum(spec, *values, optimize=True))
    return _made(value, *((part, send(i)) for i, part in enumerate(parts)))


def add(left: Value, right: Value) -> Value:
    return _made(raw(left) + raw(right), (left, lambda g: g), (right, lambda g: g))


def reshape(part: Value, *shape: int) -> Value:
    return _made(raw(part).reshape(shape), (part, lambda g: g.reshape(raw(part).shape)))


def apply(part: Value, function: Send, slope: Send) -> Value:
    return _made(function(raw(part)), (part, lambda g: g * slope(raw(part))))


def softmax(part: Value) -> Value:
    grown = np.exp(raw(part) - raw(part).max(-1, keepdims=True))
    p = grown / grown.sum(-1, keepdims=True)
    return _made(p, (part, lambda g: p * (g - (g * p).sum(-1, keepdims=True))))


def log_likelihood(logits_TV: Value, targets_T: npt.NDArray[np.int32]) -> Value:
    """The log-probability of each target, [T]."""
    shifted = raw(logits_TV) - raw(logits_TV).max(-1, keepdims=True)
    logprobs_TV = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    chosen = np.arange(len(targets_T)), targets_T

    def send(gradient_T: Numbers) -> Numbers:
        back_TV = -np.exp(logprobs_TV) * gradient_T[:, None]
        with np.errstate(invalid="ignore"):  # what is not finite is the caller's to refuse
            back_TV[chosen] += gradient_T
        return np.asarray(back_TV)

    return _made(logprobs_TV[chosen], (logits_TV, send))
