"""A client's traced loss as a loss of ``customize``: computed datum by datum, and summed.

Shape legend: N tokens of the batch, T positions of a datum.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import attrs
import numpy as np
import numpy.typing as npt

from customize import Batch, DataError, NonFiniteError, Unsupported
from customize_tinker.graphs import Graph
from customize_tinker.requests import Datum
from customize_tinker.tensors import Numbers

DATUM, PLACE = "datum", "place"  # columns: which datum a token is of, and which position there

Tensor = Any  # torch is no dependency


@attrs.frozen(eq=False)
class Traced:
    """inputs: of each datum, in the graph's order, after the log-probabilities."""

    couples: ClassVar[Literal["group"]] = "group"

    graph: Graph
    inputs: Sequence[Sequence[Numbers]]

    @classmethod
    def of(cls, graph: Graph, data: Sequence[Datum]) -> Traced:
        """Raises DataError, Unsupported: a datum lacks an input, or it has not the rank."""
        found = [_inputs(graph, datum, f"datum {number}") for number, datum in enumerate(data)]
        kinds = {
            (len(datum.tokens), *((one.shape, one.dtype.str) for one in given))
            for datum, given in zip(data, found, strict=True)
        }
        for length, *others in kinds:
            graph.check_size(_without_values(((length,), "<f4"), *others))
        return cls(graph, found)

    def evaluate(
        self, logprobs: npt.NDArray[np.floating], batch: Batch
    ) -> tuple[float, npt.NDArray[np.float64]]:
        import torch

        total, gradient_N = 0.0, np.zeros(batch.num_tokens, np.float64)
        for number, at in _places(batch):
            with torch.enable_grad():
                leaf = torch.tensor(logprobs[at], dtype=torch.float32, requires_grad=True)
                loss, _ = self._run(number, leaf)
            if not math.isfinite(value := float(loss.detach())):
                raise NonFiniteError(f"the loss {self.graph.name!r} of datum {number} is {value}")
            total += value
            if loss.requires_grad:
                (slope,) = torch.autograd.grad(loss, leaf, allow_unused=True)
                gradient_N[at] = 0.0 if slope is None else slope.numpy()
        return total, gradient_N

    def metrics(self, logprobs: npt.NDArray[np.floating], batch: Batch) -> dict[str, float]:
        """Over all data, as each metric's name says."""
        import torch

        sums = dict.fromkeys(self.graph.metrics, 0.0)
        with torch.no_grad():
            for number, at in _places(batch):
                leaf = torch.tensor(logprobs[at], dtype=torch.float32)
                for key, value in self._run(number, leaf)[1].items():
                    sums[key] += _scalar(key, value)
        num = len(self.inputs)
        return {key: v / num if key.endswith(":mean") else v for key, v in sums.items()}

    def _run(self, number: int, leaf: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        import torch

        # Copied, since what came over the wire cannot be written to, and torch warns of that.
        given = (torch.tensor(values) for values in self.inputs[number])
        return self.graph.run([leaf, *given])


def places_of(number: int, datum: Datum) -> dict[str, npt.NDArray[np.float32]]:
    """What a batch must carry so that each log-probability finds its place again."""
    count = len(datum.tokens)
    return {DATUM: np.full(count, number, np.float32), PLACE: np.arange(count, dtype=np.float32)}


def _inputs(graph: Graph, datum: Datum, where: str) -> list[Numbers]:
    found = []
    for one in graph.inputs[1:]:
        tensor = datum.inputs.get(one.name)
        if tensor is None:
            raise DataError(f"{where} lacks the input {one.name}, which {graph.name!r} takes")
        if tensor.sparse is not None:
            raise Unsupported(f"{where}: {one.name} is sparse: send it dense")
        shape = tensor.shape if one.rank else ()
        if len(shape) != one.rank or len(tensor.values) != math.prod(shape):
            raise DataError(
                f"{where}: {one.name} has the shape {list(tensor.shape)}, and {graph.name!r} takes "
                f"rank {one.rank}"
            )
        found.append(tensor.values.reshape(shape))
    return found


def _without_values(*kinds: Any) -> list[Tensor]:  # of a shape and numpy's name of a dtype
    import torch

    dtypes = (torch.from_numpy(np.empty(0, dtype)).dtype for _, dtype in kinds)
    shapes = (shape for shape, _ in kinds)
    return [torch.empty(s, dtype=d, device="meta") for s, d in zip(shapes, dtypes, strict=True)]


def _places(batch: Batch) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Of each datum in the batch its tokens, in the order of its positions."""
    at = np.flatnonzero(batch.scored)
    owners = batch.columns[DATUM][at].astype(np.int64)
    order = np.lexsort((batch.columns[PLACE][at], owners))
    at, owners = at[order], owners[order]
    for part in np.split(at, np.flatnonzero(np.diff(owners)) + 1):
        if len(part):
            yield int(batch.columns[DATUM][part[0]]), part


def _scalar(key: str, value: Tensor) -> float:
    try:
        return float(value)
    except (RuntimeError, TypeError, ValueError):
        raise DataError(f"the metric {key!r} of a custom loss must be one number") from None
