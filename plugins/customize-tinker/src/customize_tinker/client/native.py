"""Batches as the protocol's data, and losses that a service has. Knows no connection.

Shape legend: N tokens of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from customize import CISPO, PPO, Batch, CrossEntropy, ImportanceSampling, Loss
from customize_tinker.requests import Datum
from customize_tinker.tensors import Tensor

Floats = npt.NDArray[np.float32]
_RATIO: Mapping[str, Callable[[Batch], Floats]] = {
    "logprobs": lambda batch: batch.columns["sampling_logprobs"],
    "advantages": lambda batch: batch.columns["advantages"] * batch.weights,
}


def native(loss: Loss, batch: Batch) -> tuple[str, dict[str, float]] | None:
    """The service's name and settings of the loss; None where it must go by the surrogate.

    A weight is a factor of the advantage, which the losses of a ratio are linear in while it is not
    negative.
    """
    if isinstance(loss, CrossEntropy):
        return "cross_entropy", {}
    if not {"sampling_logprobs", "advantages"} <= batch.columns.keys() or batch.weights.min() < 0:
        return None
    if isinstance(loss, ImportanceSampling):
        return "importance_sampling", {}
    if isinstance(loss, PPO) and loss.dual is None:
        return "ppo", {"clip_low_threshold": loss.low, "clip_high_threshold": loss.high}
    if isinstance(loss, CISPO):
        return "cispo", {"clip_low_threshold": loss.low, "clip_high_threshold": loss.high}
    return None


def unscored(loss: Loss, batch: Batch) -> float:
    """The loss of weights on sequences' first tokens, which a service is not shown."""
    alone = batch.with_columns(weights=np.where(batch.scored, 0.0, batch.weights))
    return loss.evaluate(np.zeros(batch.num_tokens, np.float32), alone)[0]


def data_of(batch: Batch, loss: str) -> list[Datum]:
    """One for each sequence of more than one token; its first token has no prediction."""
    if loss == "cross_entropy":
        columns: Mapping[str, Floats] = {"weights": batch.weights}
    else:
        columns = {name: of(batch) for name, of in _RATIO.items()}
    return [_datum(batch, columns, start, end) for start, end in bounds(batch)]


def parts(data: Sequence[Datum], most: int, most_bytes: int) -> Iterator[Sequence[Datum]]:
    """In the order given, one at least; a datum that is too large goes alone."""
    part, size = list[Datum](), 0
    for datum in data:
        own = datum.tokens.nbytes + sum(one.values.nbytes for one in datum.inputs.values())
        if part and (len(part) == most or size + own > most_bytes):
            yield part
            part, size = [], 0
        part.append(datum)
        size += own
    yield part


def bounds(batch: Batch) -> list[tuple[int, int]]:
    """Of the sequences in which something is predicted."""
    pairs = zip(batch.offsets[:-1], batch.offsets[1:], strict=True)
    return [(int(start), int(end)) for start, end in pairs if end - start > 1]


def joined(batch: Batch, logprobs: Sequence[Floats]) -> Floats:
    """What was told of each datum, [N], 0 where the batch has no weight."""
    out = np.zeros(batch.num_tokens, np.float32)
    for (start, end), values in zip(bounds(batch), logprobs, strict=True):
        out[start + 1 : end] = values
    out[~batch.scored] = 0.0
    return out


def _datum(batch: Batch, columns: Mapping[str, Floats], start: int, end: int) -> Datum:
    targets = batch.tokens[start + 1 : end].astype(np.int64)
    inputs = {"target_tokens": Tensor(targets, targets.shape)}
    for name, values in columns.items():
        part = values[start + 1 : end].astype(np.float32)
        inputs[name] = Tensor(part, part.shape)
    return Datum(batch.tokens[start : end - 1], inputs)
