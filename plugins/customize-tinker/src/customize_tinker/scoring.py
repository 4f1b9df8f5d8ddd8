"""What the model says of the places of a text, beside the log-probabilities of its own tokens.

Knows no request. The distributions of few places are held at a time.

Shape legend: T places, V vocabulary, K tokens of a place, C cells that are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from customize import DataError, Snapshot
from customize_tinker.body import Body
from customize_tinker.refusals import unreadable
from customize_tinker.responses import Alternatives, Likeliest
from customize_tinker.tensors import Ints, Rows, Tensor

Floats = npt.NDArray[np.float32]
Longs = npt.NDArray[np.int64]
_PLACES = 256
_NOTHING = -99999.0


@attrs.frozen(eq=False)
class Targets:
    """Tokens whose log-probabilities are asked for: row i is of place i + 1, -1 asks for nothing.

    ids_C: in the order sent; rows: int64 [C], the row of each.
    """

    ids_C: Longs
    rows: Longs
    shape: tuple[int, int]
    sparse: Rows | None

    @classmethod
    def read(cls, body: Body, num_tokens: int) -> Targets:
        """Raises Refusal: it is no tensor that has a row for each place after the first."""
        ids_C, shape = _numbers(body, "data"), _numbers(body, "shape")
        if body.text("dtype") != "int64" or len(shape) != 2 or shape[0] != num_tokens - 1:
            raise unreadable(
                "target_prompt_logprobs must be int64 of the shape [tokens of the prompt - 1, K]"
            )
        sparse = _rows(body, len(ids_C), shape)
        body.end()
        if sparse is None and len(ids_C) != shape[0] * shape[1]:
            raise unreadable(f"target_prompt_logprobs has {len(ids_C)} ids for {shape.tolist()}")
        if not len(ids_C) or ids_C.min() < -1 or ids_C.max() < 0:
            raise unreadable("target_prompt_logprobs must hold ids, or -1, and one id at least")
        if sparse is None:
            rows = np.repeat(np.arange(shape[0]), shape[1])
        else:
            rows = np.repeat(np.arange(shape[0]), np.diff(sparse.starts))
        return cls(ids_C, rows, (int(shape[0]), int(shape[1])), sparse)


def target_logprobs(snapshot: Snapshot, tokens: Ints, targets: Targets) -> Tensor:
    """In the layout of what was asked for; 0 where it was for nothing.

    Raises:
        DataError: an id is no token.
        Unsupported: the backend has no distributions.
    """
    found_C = np.zeros(len(targets.ids_C), np.float32)
    asked = targets.ids_C >= 0
    first = int(targets.rows[asked].min())
    for begin, rows_TV in _distributions(snapshot, tokens, first + 1):
        row = begin - 1
        here = asked & (targets.rows >= row) & (targets.rows < row + len(rows_TV))
        if (targets.ids_C[here] >= rows_TV.shape[1]).any():
            raise DataError(f"target_prompt_logprobs: tokens are 0 to {rows_TV.shape[1] - 1}")
        found_C[here] = rows_TV[targets.rows[here] - row, targets.ids_C[here]]
    return Tensor(found_C, targets.shape, targets.sparse)


def likeliest(snapshot: Snapshot, tokens: Ints, start: int, k: int, padding: int = 0) -> Likeliest:
    """Of the places from ``start`` on, after so many of which nothing is told.

    Raises:
        Unsupported: the backend has no distributions.
    """
    found = [np.zeros((padding, k), np.int32)]
    logprobs = [np.full((padding, k), _NOTHING, np.float32)]
    for _, rows_TV in _distributions(snapshot, tokens, start):
        if k > rows_TV.shape[1]:
            raise DataError(f"the {k} likeliest of {rows_TV.shape[1]} tokens were asked for")
        found.append(np.argsort(-rows_TV, axis=1, kind="stable")[:, :k].astype(np.int32))
        logprobs.append(np.take_along_axis(rows_TV, found[-1], axis=1))
    return Likeliest(np.concatenate(found), np.concatenate(logprobs))


def alternatives(
    snapshot: Snapshot, tokens: Ints, k: int, temperature: float, seed: int
) -> Alternatives:
    """K tokens drawn for each place but the first, with replacement.

    What is drawn at a place is a function of the seed and the place. The log-probabilities are the
    model's, whatever the temperature.

    Raises:
        Unsupported: the backend has no distributions.
    """
    drawn = [np.zeros((0, k), np.int64)]
    logprobs = [np.zeros((0, k), np.float32)]
    for begin, rows_TV in _distributions(snapshot, tokens, 1):
        rows_TK = [_drawn(r, k, temperature, [seed, begin + n]) for n, r in enumerate(rows_TV)]
        drawn.append(np.stack(rows_TK))
        logprobs.append(np.take_along_axis(rows_TV, drawn[-1], axis=1))
    return Alternatives(np.concatenate(drawn), np.concatenate(logprobs))


def _drawn(row_V: Floats, k: int, temperature: float, key: list[int]) -> Longs:
    if temperature == 0:
        return np.full(k, row_V.argmax(), np.int64)
    scaled = row_V.astype(np.float64) / temperature
    total_V = np.exp(scaled - scaled.max()).cumsum()
    points = np.random.default_rng(key).random(k) * total_V[-1]
    drawn: Longs = np.searchsorted(total_V, points, side="right")
    return np.minimum(drawn, len(row_V) - 1)


def _distributions(snapshot: Snapshot, tokens: Ints, start: int) -> Iterator[tuple[int, Floats]]:
    """Log-probabilities [T, V] of so many places, and the first of them."""
    for begin in range(start, len(tokens), _PLACES):
        yield begin, snapshot.distributions(tokens[: begin + _PLACES], begin)


def _rows(body: Body, num_cells: int, shape: Longs) -> Rows | None:
    if not body.has("sparse_crow_indices"):
        return None
    starts, columns = (_numbers(body, f"sparse_{what}_indices") for what in ("crow", "col"))
    is_whole = (
        len(starts) == shape[0] + 1
        and starts[0] == 0
        and starts[-1] == num_cells == len(columns)
        and (np.diff(starts) >= 0).all()
        and (columns < shape[1]).all()
    )
    if not is_whole or (num_cells and columns.min() < 0):
        raise unreadable("target_prompt_logprobs is no sparse matrix of its shape")
    return Rows(starts, columns)


def _numbers(body: Body, name: str) -> Longs:
    values: Any = body.raw(name)  # any JSON
    if not isinstance(values, list) or not all(
        type(value) is int and -1 <= value < 1 << 31 for value in values
    ):
        raise unreadable(f"target_prompt_logprobs.{name} must be a list of whole numbers")
    return np.asarray(values, np.int64)
