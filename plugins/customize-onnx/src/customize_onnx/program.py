"""A graph that onnxruntime has loaded, run on rows of tokens. Knows no text and no sampling.

Shape legend: R rows, S new tokens, K places that get logits, V vocabulary, P past tokens, T all.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime import OrtValue

from customize import ExportError
from customize_onnx import files
from customize_onnx.cache import Cache, Longs
from customize_onnx.quantizing import BITS

Floats = npt.NDArray[np.float32]
_PAST = "past_key_values."
_ERRORS_ALONE = 3


class Program:
    """Several threads may run it at once.

    Runs take ``OrtValue``s, so that keys and values stay where they are: binding inputs and outputs
    would too, but cannot bind optional inputs. plain: the same graph without inputs for adapters.
    """

    def __init__(
        self, file: Path, adapters: Mapping[str, Path], threads: int, plain: Path | None = None
    ) -> None:
        self._plain, self._threads = plain, threads
        self._base: onnxruntime.InferenceSession | None = None
        self._opening = threading.Lock()
        self._session = _opened(file, threads)
        past = [i for i in self._session.get_inputs() if i.name.startswith(_PAST)]
        self._past = [i.name for i in past]
        _, self._heads, _, self._head_dim = past[0].shape
        self._outputs = ["logits", *(name.replace(_PAST, "present.") for name in self._past)]
        self.vocabulary = int(self._session.get_outputs()[0].shape[-1])
        # A run's options point at an adapter, and do not keep it.
        known = {i.name for i in self._session.get_overridable_initializers()}
        self._adapters = {name: _loaded(path, known) for name, path in adapters.items()}
        self._runs = {name: _with(adapter) for name, adapter in self._adapters.items()}

    def empty(self) -> Cache:
        """One row to begin with."""
        return Cache.empty(len(self._past), self._heads, self._head_dim)

    def run(
        self, tokens_RS: npt.NDArray[np.integer], cache: Cache, num_kept: int, adapter: str | None
    ) -> tuple[Floats, Cache]:
        """Append tokens to rows: logits [R, K, V] of the last ``num_kept`` places, 0 for all, and
        the cache that has them. Several rows that hold tokens grow by one; a row alone by any
        number.
        """
        lengths_R = cache.lengths_R + tokens_RS.shape[1]
        mask_RT = (np.arange(lengths_R.max()) < lengths_R[:, None]).astype(np.int64)
        given = {
            "input_ids": tokens_RS.astype(np.int64),
            "attention_mask": mask_RT,
            "num_logits_to_keep": np.array(num_kept, np.int64),
        }
        feed = {name: OrtValue.ortvalue_from_numpy(array) for name, array in given.items()}
        feed |= zip(self._past, cache.parts, strict=True)
        session = self._of_base() if adapter is None else self._session
        options = None if adapter is None else self._runs[adapter]
        logits, *parts = session.run_with_ort_values(self._outputs, feed, options)
        return logits.numpy(), Cache(lengths_R, tuple(parts))

    def _of_base(self) -> onnxruntime.InferenceSession:
        """Computes without an adapter: the plain graph, where weights are so small that a token
        waits for inputs that are empty. It takes as much memory again once it is asked for.
        """
        with self._opening:
            if self._base is None:
                self._base = self._plainest()
            return self._base

    def _plainest(self) -> onnxruntime.InferenceSession:
        is_small = self._session.get_modelmeta().custom_metadata_map.get(files.KEPT_AS) in BITS
        if self._plain is None or not is_small:
            return self._session
        return _opened(self._plain, self._threads)


def _opened(file: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ALONE
    with _refusing(file):
        return onnxruntime.InferenceSession(str(file), options, ["CPUExecutionProvider"])


def _loaded(adapter: Path, known: Set[str]) -> onnxruntime.LoraAdapter:
    loaded = onnxruntime.LoraAdapter()
    with _refusing(adapter):
        loaded.Load(str(adapter))
        given = onnxruntime.AdapterFormat.read_adapter(str(adapter)).get_parameters()
    if others := sorted(given.keys() - known):
        raise ExportError(
            f"{adapter.name} changes {others[0]}, which the graph has no input for: export the "
            "base and every adapter with one version of customize-onnx"
        )
    return loaded


@contextmanager
def _refusing(file: Path) -> Iterator[None]:
    """Raises ExportError where onnxruntime cannot load a file."""
    try:
        yield
    except Exception as error:  # onnxruntime's own, which differ by what is wrong
        raise ExportError(f"{file.name} cannot be loaded by onnxruntime: {error}") from error


def _with(adapter: onnxruntime.LoraAdapter) -> onnxruntime.RunOptions:
    options = onnxruntime.RunOptions()
    options.add_active_adapter(adapter)
    return options


def whole(tokens: npt.ArrayLike) -> Longs:
    """Tokens of one row, [1, S]."""
    return np.asarray(tokens, np.int64)[None]
