"""A package that answers through onnxruntime. Knows neither how it was made nor any server.

Needs no torch and no transformers: prompts are rendered with jinja2 and tokenizers alone.

Shape legend: T tokens, V vocabulary.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from customize import (
    Batching,
    ChatRenderer,
    DataError,
    ExportError,
    GrowingText,
    Manifest,
    Message,
    OptionError,
    Query,
    Runtime,
    Said,
    Sampling,
)
from customize_onnx import files, genai
from customize_onnx.batching import CHUNK, Turns
from customize_onnx.program import Floats, Program, whole

_GREEDY = Sampling(temperature=0.0)
_ADAPTERS = f"{files.ADAPTERS}/*{files.ADAPTER}"
_MANIFEST = "package.json"


class Generator(Runtime):
    """Answers in text, or token by token.

    ``adapters``: packages of other customizations of the same base, by the names to ask for.
    ``threads``: of onnxruntime; 0 takes every core. An answer ends at ``context`` at the latest.

    Raises:
        ExportError: a folder is no package, or holds no adapter of the same base.
        OptionError: two adapters have one name.
    """

    fits_schemas = True

    def __init__(
        self,
        folder: str | Path,
        adapters: Mapping[str, Path] = {},
        *,
        threads: int = 0,
        slots: int = 8,
    ) -> None:
        folder = Path(folder)
        if not (folder / files.GRAPH).is_file():
            raise ExportError(
                f"{folder} holds no {files.GRAPH}: give what `customize export` wrote"
            )
        found = _own_adapters(folder)
        if twice := sorted(found.keys() & adapters.keys()):
            raise OptionError(f"two adapters are called {twice[0]!r}: give the other another name")
        found |= {name: _own_adapter(Path(other)) for name, other in adapters.items()}
        _check_bases(folder, adapters)
        config = json.loads((folder / genai.FILE).read_text("utf-8"))
        self._own_stops = genai.stops_of(config)
        self.renderer = ChatRenderer.from_folder(folder)
        self.adapters = tuple(found)
        self.context = int(config["model"]["context_length"])
        self.slots = slots
        self._program = _program(folder, found, threads)
        self._batching = Batching(self, Turns(self._program).advance)

    @classmethod
    def open(
        cls, folder: Path, adapters: Mapping[str, Path] = {}, base: Path | None = None
    ) -> Generator:
        return cls(folder, adapters)

    def stream(self, query: Query, cancelled: threading.Event | None = None) -> Iterator[Said]:
        self.check(query)
        return self._streamed(query, cancelled)

    def together(self, queries: Sequence[Query]) -> list[Iterator[Said]]:
        """The answers to several queries that are under way at once; read or close each."""
        for query in queries:
            self.check(query)
        return [self._batching.submit(query).said() for query in queries]

    def logprobs(self, tokens: npt.ArrayLike, start: int, adapter: str | None = None) -> Floats:
        tokens = np.asarray(tokens, np.int32)
        self.check(Query(tokens[:-1], adapter=adapter))
        if not 0 < start <= len(tokens):
            raise DataError(
                f"start is {start}: there is something before places 1 to {len(tokens)}"
            )
        cache, found = self._program.empty(), []
        for begin in range(0, len(tokens) - 1, CHUNK):
            some = tokens[begin : min(begin + CHUNK, len(tokens) - 1)]
            wanted = min(len(some), begin + len(some) - (start - 1))
            logits, cache = self._program.run(whole(some), cache, max(wanted, 1), adapter)
            found += [_log_softmax(row_V) for row_V in logits[0, -wanted:] if wanted > 0]
        return np.array(found, np.float32).reshape(-1, self._program.vocabulary)

    def reply(
        self,
        messages: Sequence[Message],
        sampling: Sampling = _GREEDY,
        *,
        adapter: str | None = None,
        seed: int = 0,
    ) -> str:
        """The answer to a conversation; the likeliest tokens unless ``sampling`` says otherwise."""
        return self.replies([messages], sampling, adapter=adapter, seed=seed)[0]

    def replies(
        self,
        conversations: Sequence[Sequence[Message]],
        sampling: Sampling = _GREEDY,
        *,
        adapter: str | None = None,
        seed: int = 0,
    ) -> list[str]:
        """Answers to several, computed together."""
        asked = [self._asked(messages, sampling, adapter, seed) for messages in conversations]
        return [self._text([one.token for one in said]) for said in self.together(asked)]

    def say(
        self,
        messages: Sequence[Message],
        sampling: Sampling = _GREEDY,
        *,
        adapter: str | None = None,
        seed: int = 0,
    ) -> Iterator[str]:
        """The answer piece by piece, whole characters only."""
        text = GrowingText(self.renderer)
        for said in self.stream(self._asked(messages, sampling, adapter, seed)):
            if piece := text.add(said.token):
                yield piece
        if rest := text.rest():
            yield rest

    def own_stops(self) -> Mapping[str, frozenset[int]]:
        """What onnxruntime-genai reads."""
        return {genai.FILE: self._own_stops}

    def close(self) -> None:
        self._batching.close()

    def _streamed(self, query: Query, cancelled: threading.Event | None) -> Iterator[Said]:
        yield from self._batching.submit(query, cancelled).said()

    def _asked(
        self, messages: Sequence[Message], sampling: Sampling, adapter: str | None, seed: int
    ) -> Query:
        return Query(self.renderer.prompt(messages), sampling, seed, adapter=adapter)

    def _text(self, tokens: Sequence[int]) -> str:
        return self.renderer.decode(np.asarray(tokens, np.int32))

    def check(self, query: Query) -> None:
        super().check(query)
        tokens, size = query.tokens, self._program.vocabulary
        if tokens.min() < 0 or tokens.max() >= size:
            raise DataError(f"tokens are 0 to {size - 1} (got {tokens.min()} to {tokens.max()})")


def _program(folder: Path, adapters: Mapping[str, Path], threads: int) -> Program:
    """Inputs that nobody fills cost every token time; packages of before have no graph without."""
    graph, plain = folder / files.GRAPH, folder / files.PLAIN
    if not plain.is_file():
        return Program(graph, adapters, threads)
    if not adapters:
        return Program(plain, {}, threads)
    return Program(graph, adapters, threads, plain)


def _own_adapters(folder: Path) -> dict[str, Path]:
    """The one that bears the package's name, whatever lies beside it, where it has one apart.

    Of a folder that an exporter wrote, and that has no manifest, whatever is there.
    """
    there = {file.stem: file for file in sorted(folder.glob(_ADAPTERS))}
    if not (folder / _MANIFEST).is_file():
        return there
    manifest = Manifest.read(folder)
    if not manifest.shares_base:
        return {}
    if manifest.name not in there:
        own = f"{files.ADAPTERS}/{manifest.name}{files.ADAPTER}"
        raise ExportError(
            f"{folder} holds no {own}, which is its own: export the run again, or fetch the "
            "package again"
        )
    return {manifest.name: there[manifest.name]}


def _own_adapter(folder: Path) -> Path:
    for file in _own_adapters(folder).values():
        return file
    raise ExportError(f"{folder} holds no {_ADAPTERS}: give a package with its own adapter")


def _check_bases(folder: Path, adapters: Mapping[str, Path]) -> None:
    """Refuses an adapter that was made for other weights than the graph's."""
    for name, other in adapters.items():
        Manifest.read(folder).check_beside(Manifest.read(Path(other)), name)


def _log_softmax(logits_V: Floats) -> Floats:
    away_V = logits_V.astype(np.float64) - logits_V.max()
    out_V: Floats = (away_V - np.log(np.exp(away_V).sum())).astype(np.float32)
    return out_V
