"""Named losses of the protocol as losses and batches of ``customize``. Knows no engine.

Position i of ``tokens`` predicts ``target_tokens[i]``, so a sequence here is the first token and
then the targets. A target that is not the next token gets a sequence of its own, that ends in it:
equal beginnings are computed once, and what it says is what was asked.

Shape legend: T positions of a datum, N tokens of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

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
from customize_tinker.tensors import Ints, Tensor
from customize_tinker.traced import places_of

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
_WORTH_SHARING = 16  # tokens
CUSTOM = "custom"  # by its id: see traced
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


ColumnsOf = Callable[[int, Datum], dict[str, npt.NDArray[Any]]]


def lay_out(data: Sequence[Datum], columns_of: ColumnsOf, max_tokens: int) -> Laid:
    """The data as a batch. columns_of: a datum's columns [T], of which ``target_tokens`` is one.

    Raises:
        DataError: an input is missing or does not fit the tokens.
        Unsupported: images, audio, or several targets of a position.
    """
    if not data:
        raise DataError("there are no data")
    rows: list[tuple[npt.ArrayLike, Mapping[str, npt.ArrayLike]]] = []
    places: list[Longs] = []
    groups: list[int] = []
    start = 0
    for number, (datum, group) in enumerate(zip(data, _groups(data), strict=True)):
        columns = columns_of(number, datum)
        where = np.zeros(len(datum.tokens), np.int64)
        for tokens, positions in _sequences(datum.tokens, columns.pop("target_tokens")):
            rows.append((tokens, _placed(columns, positions, len(tokens))))
            groups.append(group)
            where[positions] = start + positions + 1
            start += len(tokens)
            if start > max_tokens:
                raise DataError(f"more than {max_tokens} tokens in one forward_backward: send less")
        places.append(where)
    return Laid(Batch.from_sequences(rows, groups=groups), places)


def _groups(data: Sequence[Datum]) -> Iterator[int]:
    """A number for each: that of the neighbour before where it begins as that one's group does.

    Equal beginnings of a group are computed once: a prompt with its completions, sent one after the
    other, is a group. Who would leave less than three quarters of it in common begins the next.
    """
    group, first, common = -1, np.zeros(0, np.int32), 0  # common: 0 where there is one
    for datum in data:
        shared = _common(first, datum.tokens)
        if shared < max(_WORTH_SHARING, 0.75 * common):
            group, first, common = group + 1, datum.tokens, 0
        else:
            common = shared
        yield group


def _common(one: Ints, other: Ints) -> int:
    """Tokens in which they begin alike."""
    room = min(len(one), len(other))
    differs = np.flatnonzero(one[:room] != other[:room])
    return int(differs[0]) if len(differs) else room


def columns_for(loss: str) -> ColumnsOf:
    """Those of a named loss: its inputs, and ones where it has no ``weights``."""
    inputs = _LOSSES[loss][1]

    def columns_of(number: int, datum: Datum) -> dict[str, npt.NDArray[Any]]:
        where = f"datum {number}"
        targets = _targets(datum, where)
        if unknown := datum.inputs.keys() - inputs:
            raise Unsupported(
                f"{where} has the inputs {', '.join(sorted(unknown))}: not known here"
            )
        if missing := inputs - datum.inputs.keys() - {"weights"}:
            raise DataError(f"{where} lacks the inputs {', '.join(sorted(missing))}")
        columns = {"terms": np.ones(len(datum.tokens), np.float32), "target_tokens": targets}
        for name in datum.inputs.keys() - {"target_tokens"}:
            columns[_COLUMNS[name]] = _flat(
                datum.inputs[name], len(datum.tokens), f"{where}: {name}"
            )
        return columns

    return columns_of


def columns_for_traced(number: int, datum: Datum) -> dict[str, npt.NDArray[Any]]:
    """Those of a loss that reads its inputs itself, and wants to know whose each token is."""
    return {"target_tokens": _targets(datum, f"datum {number}"), **places_of(number, datum)}


def _sequences(tokens: Ints, targets: Longs) -> Iterator[tuple[npt.NDArray[np.integer], Longs]]:
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


def _targets(datum: Datum, where: str) -> npt.NDArray[Any]:
    """Of each position, int64 [T]; what a datum must have whatever its loss is checked here."""
    if datum.foreign:
        raise Unsupported(f"{where} holds an {datum.foreign}: this server takes text")
    if not len(datum.tokens):
        raise DataError(f"{where} has no tokens")
    if "target_tokens" not in datum.inputs:
        raise DataError(f"{where} lacks the inputs target_tokens")
    _check_targets(datum.inputs["target_tokens"], where)
    return _flat(datum.inputs["target_tokens"], len(datum.tokens), f"{where}: target_tokens")


def _check_targets(targets: Tensor, where: str) -> None:
    values = targets.values.astype(np.int64)
    if targets.values.dtype.kind != "i" or ((values < 0) | (values >= 1 << 31)).any():
        raise DataError(f"{where}: target_tokens must be whole numbers from 0 to 2147483647")


def _flat(tensor: Tensor, length: int, where: str) -> npt.NDArray:  # type: ignore[type-arg]
    if tensor.sparse is not None or len(tensor.shape) != 1:
        raise Unsupported(
            f"{where} is {'of' if tensor.sparse is None else 'sparse, of'} shape "
            f"{list(tensor.shape)}: one number a token is known here"
        )
    if len(tensor.values) != length:
        raise DataError(f"{where} has {len(tensor.values)} entries for {length} tokens")
    return tensor.values
