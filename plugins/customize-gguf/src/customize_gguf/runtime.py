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
from typing import Any

import numpy as np
import numpy.typing as npt

from customize import (
    Answering,
    ChatRenderer,
    ExportError,
    Message,
    ModelError,
    Query,
    Runtime,
    Said,
)
from customize_gguf._families import Layout
from customize_gguf._llama import Doubles, Llama
from customize_gguf._metadata import Metadata
from customize_gguf._modelfile import stops_of
from customize_gguf._reader import open_gguf
from customize_gguf._safetensors import Floats
from customize_gguf._source import BASE_DTYPE, DTYPES, Source
from customize_gguf._tokenizer import Vocabulary
from customize_gguf.exporter import (
    ADAPTER,
    MAX_CONTEXT,
    MODEL,
    MODELFILE,
    PLAIN,
    write_model,
)

Ints = npt.NDArray[np.int32]

# Likeliest tokens that are asked for: to draw one, mostly enough; and of a distribution.
_KNOWN, _NEARLY_ALL = 256, 4096
_TINY = float(np.finfo(np.float64).tiny)


class LlamaCpp(Runtime):
    """A package in llama.cpp. Queries that are under way at once share its batches."""

    slots = 4
    fits_schemas = True

    def __init__(self, folder: Path, model: Path, adapters: Mapping[str, Path]) -> None:
        """``folder`` holds the tokenizer; ``model`` and ``adapters`` are files."""
        with open_gguf(model) as file:
            metadata = Metadata(file.metadata)
            layout = Layout.of_gguf(metadata, file.tensors)
            vocabulary = Vocabulary.of_gguf(metadata)
        self._folder, self._tokens, self._ends = folder, vocabulary.tokens, vocabulary.ends
        self._dtype = _dtype(metadata)
        self.renderer = ChatRenderer.from_folder(folder)
        self.adapters = tuple(adapters)
        self.context = min(layout.context, MAX_CONTEXT)
        self._vocabulary = layout.vocabulary
        self._llama = Llama(
            model,
            list(adapters.values()),
            slots=self.slots,
            context=self.context,
            exact=self._dtype in PLAIN,
            filler=vocabulary.tokens.index("a"),
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
            if base is not None:
                return cls._on(base, folder, files)
            return cls(folder, folder / MODEL, files)
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
        self.check(query)
        answering = Answering(query, self.renderer, self.context)
        known = max(_KNOWN, query.top_logprobs, query.sampling.top_k)
        with self._slot() as slot:
            while not answering.over and not (cancelled and cancelled.is_set()):
                tokens = [*query.tokens.tolist(), *answering.tokens]
                for count in (known, _NEARLY_ALL, self._vocabulary):
                    ids, logprobs = self._likeliest(tokens, count, slot, query.adapter)
                    said = answering.draw_among(ids, logprobs, self._vocabulary)
                    if said is not None:
                        yield said
                        break

    def logprobs(self, tokens: Ints, start: int, adapter: str | None = None) -> Floats:
        """Of weights in 32 bits; of others those of the likeliest, and what these leave is shared
        by the rest: an error far below that of the weights, in a tenth of the time.
        """
        self.check_adapter(adapter)
        count = self._vocabulary if self._dtype == "f32" else _NEARLY_ALL
        given = tokens.tolist()
        out_TV = np.empty((len(given) - start, self._vocabulary), np.float32)
        with self._slot() as slot:
            for place, row_V in enumerate(out_TV, start):
                ids, logprobs = self._likeliest(given[:place], count, slot, adapter)
                others = max(1, self._vocabulary - len(ids))
                row_V[:] = np.log(max(-np.expm1(np.logaddexp.reduce(logprobs)), _TINY) / others)
                row_V[ids] = logprobs
        return out_TV

    def own_prompt(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None = None
    ) -> Ints:
        return np.asarray(self._llama.rendered(messages, tools), np.int32)

    def own_stops(self) -> Mapping[str, frozenset[int]]:
        """What llama.cpp and Ollama read; an adapter without its base tells them nothing.

        Raises:
            ExportError: the Modelfile ends answers at what is no token.
        """
        found: dict[str, frozenset[int]] = {}
        if (self._folder / MODEL).is_file():
            found[MODEL] = frozenset(self._ends)
        if (file := self._folder / MODELFILE).is_file():
            found[MODELFILE] = frozenset(map(self._token, stops_of(file.read_text("utf-8"))))
        return found

    def close(self) -> None:
        self._llama.close()

    def _token(self, text: str) -> int:
        if text not in self._tokens:
            raise ExportError(
                f"{self._folder / MODELFILE} ends answers at {text!r}, which is no token of the "
                "model: export the run again"
            )
        return self._tokens.index(text)

    @contextmanager
    def _slot(self) -> Iterator[int]:
        slot = self._free.get()
        try:
            yield slot
        finally:
            self._free.put(slot)

    def _likeliest(
        self, tokens: Sequence[int], count: int, slot: int, adapter: str | None
    ) -> tuple[npt.NDArray[np.int64], Doubles]:
        number = None if adapter is None else self.adapters.index(adapter)
        ids, logprobs = self._llama.likeliest(tokens, count, slot, number)
        if len(ids) == self._vocabulary:
            # llama.cpp sums all probabilities in single precision, one after another.
            logprobs -= np.logaddexp.reduce(logprobs)
        return ids, logprobs


def _adapter(folder: Path) -> Path:
    if not (folder / ADAPTER).is_file():
        raise ExportError(f"{folder} has no {ADAPTER}: export it again, without merged=true")
    return folder / ADAPTER


def _said(file: Path) -> Metadata:
    with open_gguf(file) as opened:
        return Metadata(opened.metadata)


def _dtype(metadata: Metadata) -> str | None:
    said = metadata.values.get("general.file_type")
    return next((dtype for dtype, (_, number) in DTYPES.items() if number == said), None)
