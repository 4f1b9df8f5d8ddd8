"""The runtime: loads what the exporter wrote, and answers.

Here the backend of customize computes; each token from the start, which is slow and plain. A real
one asks the library or program that the format is for.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import customize
import numpy as np
import numpy.typing as npt
from customize import Answering, ExportError, Query, Runtime, Said, Snapshot
from customize_torch.backend import CPU

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


class Answers(Runtime):
    """One adapter on its base."""

    slots = 1
    fits_schemas = True

    def __init__(self, name: str, adapted: Snapshot, base: Snapshot, context: int) -> None:
        self.renderer = adapted.renderer
        self.adapters = (name,)
        self.context = context
        self._snapshots: dict[str | None, Snapshot] = {name: adapted, None: base}
        self._turn = threading.Lock()  # an engine computes for one thread at a time

    @classmethod
    def open(
        cls, folder: Path, adapters: Mapping[str, Path] = {}, base: Path | None = None
    ) -> Answers:
        if adapters or base is None:
            raise ExportError("this runtime takes one adapter, on its base")
        name = json.loads((folder / "package.json").read_text("utf-8"))["name"]
        config = json.loads((base / "config.json").read_text("utf-8"))
        opened = customize.open(folder, backend=CPU(dtype="float32"), base=base)
        return cls(name, opened.customized, opened.base, config["max_position_embeddings"])

    def stream(self, query: Query, cancelled: threading.Event | None = None) -> Iterator[Said]:
        self.check(query)
        answering = Answering(query, self.renderer, self.context)
        while not answering.over and not (cancelled and cancelled.is_set()):
            tokens = np.asarray([*query.tokens, *answering.tokens, 0], np.int32)
            [logits_V] = self.logprobs(tokens, len(tokens) - 1, query.adapter)
            yield answering.draw(logits_V)

    def logprobs(self, tokens: Ints, start: int, adapter: str | None = None) -> Floats:
        with self._turn:
            return self._snapshots[adapter].distributions(tokens, start)
