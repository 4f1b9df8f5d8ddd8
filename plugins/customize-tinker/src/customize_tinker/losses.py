"""Named losses of the protocol as losses and batches of ``customize``. Knows no engine.

Position i of ``tokens`` predicts ``target_tokens[i]``, so a sequence here is the first token and
then the targets. A target that is not the next token gets a sequence of its own, that ends in it:
equal beginnings are computed once, and what it says is what was asked.

Shape legend: T positions of a datum, N tokens of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import attrs
import numpy as np
import numpy.typing as npt

from customize import (
    CISPO,
    DRO,
    PPO,
    Batch,
    CrossEntropy,
    DataError,
    ImportanceSampling,
    Loss,
    OptionError,
    Unsupported,
)
from customize_tinker.requests import Datum, ForwardBackward
from customize_tinker.tensors import Tensor

Floats = npt.NDArray[np.float32]
Longs = npt.NDArray[np.int64]

_RATIO = frozenset({"target_tokens", "logprobs", "advantages"})
_CLIP = {"clip_low_threshold": "low", "clip_high_threshold": "high"}
# Input keys, and settings by the names they have here.
_LOSSES: dict[str, tuple[type, frozenset[str], dict[str, str]]] = {
    "cross_entropy": (CrossEntropy, frozenset({"target_tokens", "weights"}), {}),
    "importance_sampling": (ImportanceSampling, _RATIO, {}),
    "ppo": (PPO, _RATIO, _CLIP),
    "cispo": (CISPO, _RATIO, _CLIP),
    "dro": (DRO, _RATIO, {"beta": "beta"}),
}
_UNPUBLISHED = ("gspo", "stable_reinforce")
_COLUMNS = {"weights": "terms", "logprobs": "sampling_logprobs", "advantages": "advantages"}


@attrs.frozen
class Scored:
    """A loss of which every log-probability is wanted, also where its own weight is 0.

    The batch's ``weights`` say where to compute; the loss's are in the column ``terms``.
    """

    loss: Loss

    @property
    def couples(self) -> Literal["token", "sequence", "group", "batch"]:
        return self.loss.couples

    def evaluate(
        self, logprobs: npt.NDArray[np.floating], batch: Batch
    ) -> tuple[float, npt.NDArray[np.float64]]:
        return self.loss.evaluate(logprobs, batch.with_columns(weights=batch.columns["terms"]))


def loss_of(request: ForwardBackward) -> Loss:
    """The loss with its settings, defaults as published.

    Raises:
        Unsupported: its form is not published, or it is unknown.
        OptionError: a setting is none of its own, or out of bounds.
    """
    if request.loss in _UNPUBLISHED:
        raise Unsupported(f"the form of the loss {request.loss!r} is not published: it is not here")
    if request.loss not in _LOSSES:
        raise Unsupported(f"there is no loss {request.loss!r}: there are {', '.join(_LOSSES)}")
    kind, _, settings = _LOSSES[request.loss]
    for key, value in request.config.items():
        if key not in settings or isinstance(value, str):
            known = ", ".join(settings) or "none"
            raise OptionError(f"{request.loss} has no setting {key!r} = {value!r} (has {known})")
    loss: Loss = kind(**{settings[key]: value for key, value in request.config.items()})
    return Scored(loss)


@attrs.frozen(eq=False)
class Laid:
    """A batch, and where in it each datum's positions are, int64 [T]."""

    batch: Batch
    places: Sequence[Longs]

    def split(self, logprobs_N: Floats) -> list[Floats]:
        """Log-probabilities of the targets, float32 [T] for each datum."""
        return [logprobs_N[where] for where in self.places]


def lay_out(request: ForwardBackward, max_tokens: int) -> Laid:
    """The data as a batch.

    Raises:
        DataError: an input is missing or does not fit the tokens.
        Unsupported: images, audio, or several targets of a position.
    """
    if not request.data:
        raise DataError("there are no data")
    inputs = _LOSSES[request.loss][1]
    rows: list[tuple[npt.ArrayLike, Mapping[str, npt.ArrayLike]]] = []
    places: list[Longs] = []
    groups: list[int] = []
    start = 0
    for number, datum in enumerate(request.data):
        columns = _columns(datum, inputs, f"datum {number}")
        where = np.zeros(len(datum.tokens), np.int64)
        for tokens, positions in _sequences(datum.tokens, columns.pop("target_tokens")):
            rows.append((tokens, _placed(columns, positions, len(tokens))))
            groups.append(number)  # equal beginnings of a group are computed once
            where[positions] = start + positions + 1
            start += len(tokens)
            if start > max_tokens:
                raise DataError(f"more than {max_tokens} tokens in one forward_backward: send less")
        places.append(where)
    return Laid(Batch.from_sequences(rows, groups=groups), places)


def _sequences(tokens: Longs, targets: Longs) -> Iterator[tuple[Longs, Longs]]:
    """Sequences, each with the positions whose targets it holds, in the order of its tokens."""
    whole = np.concatenate([tokens, targets[-1:]])
    fits = whole[1:] == targets
    yield whole, np.flatnonzero(fits)
    for position in np.flatnonzero(~fits):
        alone = np.concatenate([tokens[: position + 1], targets[position : position + 1]])
        yield alone, np.array([position])


def _placed(columns: Mapping[str, Floats], positions: Longs, length: int) -> dict[str, Floats]:
    """Columns of a sequence: the entries of its positions, each at its target."""
    at = positions + 1
    out = {name: np.zeros(length, np.float32) for name in ("weights", *columns)}
    out["weights"][at] = 1.0
    for name, values in columns.items():
        out[name][at] = values[positions]
    return out


def _columns(datum: Datum, inputs: frozenset[str], where: str) -> dict[str, npt.NDArray]:  # type: ignore[type-arg]
    if datum.foreign:
        raise Unsupported(f"{where} holds an {datum.foreign}: this server takes text")
    if unknown := datum.inputs.keys() - inputs:
        raise Unsupported(f"{where} has the inputs {', '.join(sorted(unknown))}: not known here")
    missing = inputs - datum.inputs.keys() - {"weights"}
    if missing:
        raise DataError(f"{where} lacks the inputs {', '.join(sorted(missing))}")
    if not len(datum.tokens):
        raise DataError(f"{where} has no tokens")
    _check_targets(datum.inputs["target_tokens"], where)
    columns = {"terms": np.ones(len(datum.tokens), np.float32)}
    for name, tensor in datum.inputs.items():
        columns[_COLUMNS.get(name, name)] = _flat(tensor, len(datum.tokens), f"{where}: {name}")
    return columns


def _check_targets(targets: Tensor, where: str) -> None:
    values = targets.values
    if values.dtype.kind != "i" or ((values < 0) | (values >= 1 << 31)).any():
        raise DataError(f"{where}: target_tokens must be whole numbers from 0 to 2147483647")


def _flat(tensor: Tensor, length: int, where: str) -> npt.NDArray:  # type: ignore[type-arg]
    if tensor.sparse or len(tensor.shape) != 1:
        raise Unsupported(
            f"{where} is {'sparse' if tensor.sparse else f'of shape {list(tensor.shape)}'}: "
            "one number a token is known here"
        )
    if len(tensor.values) != length:
        raise DataError(f"{where} has {len(tensor.values)} entries for {length} tokens")
    return tensor.values
