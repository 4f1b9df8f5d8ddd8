"""GGUF packages in llama.cpp: a `Runtime`. Knows nothing of llama.cpp's server.

Shape legend: T tokens, V vocabulary.
"""

from __future__ import annotations

import queue
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from customize import (
    Answering,
    ChatRenderer,
    ExportError,
    Floats,
    Ints,
    Message,
    ModelError,
    Query,
    Runtime,
    Said,
    Sampling,
    Tool,
)
from customize_gguf._families import Layout
from customize_gguf._llama import Doubles, Llama
from customize_gguf._metadata import Metadata
from customize_gguf._reader import open_gguf
from customize_gguf._source import BASE_DTYPE, DTYPES, Source
from customize_gguf._tokenizer import Vocabulary
from customize_gguf.exporter import ADAPTER, MODEL, PLAIN, write_model

_MAX_CONTEXT = 4096


class LlamaCpp(Runtime):
    """A package in llama.cpp. Queries that are under way at once share its batches."""

    slots = 4

    def __init__(self, folder: Path, model: Path, adapters: Mapping[str, Path]) -> None:
        """``folder`` holds the tokenizer; ``model`` and ``adapters`` are files."""
        with open_gguf(model) as file:
            metadata = Metadata(file.metadata)
            layout = Layout.of_gguf(metadata, file.tensors)
            tokens = Vocabulary.of_gguf(metadata).tokens
        plain = [DTYPES[dtype][1] for dtype in PLAIN]
        self.renderer = ChatRenderer.from_folder(folder)
        self.adapters = tuple(adapters)
        self.context = min(layout.context, _MAX_CONTEXT)
        self._vocabulary = layout.vocabulary
        self._llama = Llama(
            model,
            list(adapters.values()),
            slots=self.slots,
            context=self.context,
            exact=metadata.values.get("general.file_type") in plain,
            filler=tokens.index("a"),
        )
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(self.slots):
            self._free.put(slot)

    @classmethod
    def open(
        cls,
        folder: Path,
        adapters: Mapping[str, Path] = {},  # never changed
        base: Path | None = None,
    ) -> LlamaCpp:
        try:
            files = {name: _adapter(path) for name, path in adapters.items()}
            if (folder / ADAPTER).is_file():
                own = _said(folder / ADAPTER).text("general.name")
                files = {own: folder / ADAPTER, **files}
            return (
                cls(folder, folder / MODEL, files) if base is None else cls._on(base, folder, files)
            )
        except ModelError as error:
            raise ExportError(str(error)) from error

    @classmethod
    def _on(cls, base: Path, folder: Path, adapters: Mapping[str, Path]) -> LlamaCpp:
        """With a file that is made of the base's folder; llama.cpp maps it, so its name may go."""
        dtype = _said(_adapter(folder)).text(BASE_DTYPE)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
            model = Source.read(base, ChatRenderer.from_folder(folder).stop_tokens)
            write_model(model, base.name, dtype, Path(work))
            return cls(folder, Path(work) / MODEL, adapters)

    def stream(self, query: Query, cancelled: threading.Event | None = None) -> Iterator[Said]:
        answering = Answering(query, self.renderer)
        count = self._enough(query.sampling, query.top_logprobs)
        with self._slot() as slot:
            while not answering.over and not (cancelled and cancelled.is_set()):
                tokens = [*query.tokens.tolist(), *answering.tokens]
                yield answering.draw(self._next(tokens, count, slot, query.adapter))

    def logprobs(self, tokens: Ints, start: int, adapter: str | None = None) -> Floats:
        given = tokens.tolist()
        with self._slot() as slot:
            rows = [
                self._next(given[:at], self._vocabulary, slot, adapter)
                for at in range(start, len(given))
            ]
        return np.asarray(rows, np.float32).reshape(-1, self._vocabulary)

    def own_prompt(self, messages: Sequence[Message], tools: Sequence[Tool] | None = None) -> Ints:
        return np.asarray(self._llama.rendered(messages, tools), np.int32)

    def close(self) -> None:
        self._llama.close()

    @contextmanager
    def _slot(self) -> Iterator[int]:
        slot = self._free.get()
        try:
            yield slot
        finally:
            self._free.put(slot)

    def _enough(self, sampling: Sampling, top: int) -> int:
        """How many of the likeliest tokens decide which is drawn."""
        if sampling.temperature == 0:
            return max(1, top)
        if sampling.top_k and sampling.top_p >= 1:
            return max(sampling.top_k, top)
        return self._vocabulary

    def _next(self, tokens: Sequence[int], count: int, slot: int, adapter: str | None) -> Doubles:
        """Log-probabilities [V] of the next token; what the ``count`` likeliest leave is spread."""
        number = None if adapter is None else self.adapters.index(adapter)
        ids, logprobs = self._llama.likeliest(tokens, count, slot, number)
        rest = max(-np.expm1(np.logaddexp.reduce(logprobs)), np.finfo(np.float64).tiny)
        out = np.full(self._vocabulary, np.log(rest / max(1, self._vocabulary - len(ids))))
        out[ids] = logprobs
        return out


def _adapter(folder: Path) -> Path:
    if not (folder / ADAPTER).is_file():
        raise ExportError(f"{folder} has no {ADAPTER}: export it again, without merged=true")
    return folder / ADAPTER


def _said(file: Path) -> Metadata:
    with open_gguf(file) as opened:
        return Metadata(opened.metadata)
