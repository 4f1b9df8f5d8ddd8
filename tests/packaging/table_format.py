"""A format of the tests' own: a table of what follows each token. Knows no engine and no torch."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs
import numpy as np

from customize import (
    Answering,
    Batch,
    ChatRenderer,
    Completion,
    Done,
    Exportable,
    Exporter,
    ExportError,
    Handle,
    ModelFolder,
    OnToken,
    Prompt,
    Query,
    Runtime,
    Said,
    Sampling,
    Snapshot,
    option,
    options,
)

VOCABULARY = 256
_ENDLESS, _CONTEXT = "endless", "context.txt"


def logprobs_of(table_VV: Any) -> Any:
    return np.log(np.exp(table_VV) / np.exp(table_VV).sum(axis=1, keepdims=True))


class Table(Snapshot):
    """Answers by a table."""

    def __init__(self, renderer: ChatRenderer, table_VV: Any) -> None:
        self.renderer = renderer
        self.logprobs_VV = logprobs_of(table_VV)

    def forward(self, batch: Batch) -> Handle[Any]:
        out = np.zeros(batch.num_tokens, np.float32)
        where = np.flatnonzero(batch.scored)
        out[where] = self.logprobs_VV[batch.tokens[where - 1], batch.tokens[where]]
        return Done(out)

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Handle[list[list[Completion]]]:
        return Done([[self._complete(prompt, sampling)] for prompt in prompts])

    def _complete(self, prompt: Prompt, sampling: Sampling) -> Completion:
        tokens = [int(prompt.tokens[-1])]
        while len(tokens) <= sampling.max_tokens and tokens[-1] not in self.renderer.stop_tokens:
            tokens.append(int(self.logprobs_VV[tokens[-1]].argmax()))
        said = self.logprobs_VV[tokens[:-1], tokens[1:]].astype(np.float32)
        stopped = tokens[-1] in self.renderer.stop_tokens
        given = np.asarray(tokens[1:], np.int32)
        return Completion(given, said, said, "stop" if stopped else "length")

    def distributions(self, tokens: Any, start: int) -> Any:
        return self.logprobs_VV[tokens[start - 1 : -1]].astype(np.float32)


def tables() -> tuple[Any, Any]:
    """A base's and a customized one's."""
    rng = np.random.default_rng(0)
    base_VV = rng.normal(0, 2, (VOCABULARY, VOCABULARY))
    return base_VV, base_VV + rng.normal(0, 1, (VOCABULARY, VOCABULARY))


@options
class TableFile(Exporter):
    """Writes the table ``weights``/table.npy, with ``noise`` added."""

    serves: ClassVar[str] = "tables"
    runtime: ClassVar[str] = f"{__name__}:TableRuntime"

    noise: float = option(default=0.0, help="Spoils the table.", at_least=0)
    kept: str = option(default="float32", help="What it says of its precision.")
    beside: str = option(default="", help="The name of a further file.")
    refuses: bool = option(default=False, help="Refuse everything.")
    endless: bool = option(default=False, help="Its runtime ends at no stop token.")
    context: int = option(default=512, help="Tokens that its runtime takes.", at_least=1)

    @property
    def precision(self) -> str:
        return self.kept

    @property
    def most_context(self) -> int:
        return self.context

    def check(self, source: Exportable) -> None:
        if self.refuses:
            raise ExportError("tables of llamas are not supported: those of alpacas are")

    def write(self, source: Exportable, folder: Path) -> None:
        table_VV = np.load(source.weights / "table.npy")
        rng = np.random.default_rng(1)
        np.save(folder / "table.npy", table_VV + rng.normal(0, self.noise, table_VV.shape))
        (folder / _CONTEXT).write_text(str(self.context))
        if self.endless:
            (folder / _ENDLESS).touch()
        if self.beside:
            (folder / self.beside).write_text("x")

    def how_to_run(self, source: Exportable) -> Mapping[str, str]:
        return {"tables": "tables {folder}"}


class TableRuntime(Runtime):
    adapters: tuple[str, ...] = ()
    slots = 1

    def __init__(self, folder: Path) -> None:
        self.renderer = ChatRenderer.from_folder(folder)
        self._table = Table(self.renderer, np.load(folder / "table.npy"))
        self.context = int((folder / _CONTEXT).read_text())
        self._is_endless = (folder / _ENDLESS).is_file()

    @classmethod
    def open(
        cls, folder: Path, adapters: Mapping[str, Path] = {}, base: Path | None = None
    ) -> TableRuntime:
        return cls(folder)

    def stream(self, query: Query, cancelled: threading.Event | None = None) -> Iterator[Said]:
        self.check(query)
        if self._is_endless:
            sampling = attrs.evolve(query.sampling, stop_tokens=())  # type: ignore[misc]
            query = attrs.evolve(query, sampling=sampling)
        answering = Answering(query, self.renderer, self.context)
        last = int(query.tokens[-1])
        while not answering.over:
            said = answering.draw(self._table.logprobs_VV[last])
            last = said.token
            yield said

    def logprobs(self, tokens: Any, start: int, adapter: str | None = None) -> Any:
        return self._table.distributions(tokens, start)


def exportable(model: ModelFolder, folder: Path) -> Exportable:
    """The customized table in a folder, on the model whose renderer is used."""
    folder.mkdir()
    np.save(folder / "table.npy", tables()[1])
    return Exportable("tabled", model, folder, ChatRenderer.from_folder(model.path))
