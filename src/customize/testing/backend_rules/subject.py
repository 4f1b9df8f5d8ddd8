"""A backend under test, and what rules ask of it again and again. Knows no rule."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Sequence
from typing import ClassVar

import attrs
import numpy as np

from customize._batch import Batch
from customize._errors import Unsupported
from customize._losses import CrossEntropy
from customize.interfaces.backend import Backend, Engine
from customize.interfaces.model import ModelFolder
from customize.interfaces.session import AdamW, Adapter, Full, LoRA, Session
from customize.testing.rules import NotApplicable
from customize.testing.subject import Subject
from customize.testing.tiny_model import write_tiny_model


@attrs.frozen
class Tolerance:
    """What rounding explains.

    logprobs: nats. relative: of a gradient's size.
    """

    logprobs: float
    relative: float


TOLERANCES = {
    "float64": Tolerance(5e-5, 1e-3),
    "float32": Tolerance(5e-5, 1e-3),
    "float16": Tolerance(0.03, 0.02),
    "bfloat16": Tolerance(0.1, 0.05),
}


class BackendSubject(Subject):
    """A backend with a model in it, loaded once."""

    kind: ClassVar[str] = "backend"

    def __init__(self, name: str, backend: Backend, model: ModelFolder | None = None) -> None:
        super().__init__(name)
        self.backend = backend
        self._given = model

    @property
    def capabilities(self) -> frozenset[str]:
        return self.backend.capabilities()

    def obstacle(self) -> str | None:
        """Why it cannot run here: a failure where ``CUSTOMIZE_REQUIRE`` names the backend."""
        reason = self.backend.probe()
        required = os.environ.get("CUSTOMIZE_REQUIRE", "").split(",")
        if reason is not None and self.backend.name in required:
            raise Unsupported(f"CUSTOMIZE_REQUIRE={self.backend.name}, but: {reason}")
        return reason

    @functools.cached_property
    def model(self) -> ModelFolder:
        """The author's, or the kit's own."""
        return self._given or write_tiny_model(self.folder() / "model")

    @functools.cached_property
    def engine(self) -> Engine:
        return self.backend.load(self.model)

    @property
    def tolerance(self) -> Tolerance:
        """By what the engine says it computes in."""
        return TOLERANCES.get(self.engine.dtype, TOLERANCES["float32"])

    @property
    def vocabulary(self) -> int:
        config = json.loads((self.model.path / "config.json").read_text("utf-8"))
        return int(config["vocab_size"])

    @property
    def adapters(self) -> Sequence[Adapter]:
        """One of each sort that is declared."""
        every = (("lora", LoRA(rank=4)), ("full", Full()))
        found = [adapter for name, adapter in every if name in self.capabilities]
        if not found:
            raise NotApplicable("declares neither lora nor full: no session can be opened")
        return found

    def open(self, adapter: Adapter | None = None, seed: int = 1) -> Session:
        """A new session; LoRA where that is declared."""
        return self.engine.open(adapter or self.adapters[0], seed)

    def trained(self, adapter: Adapter | None = None, seed: int = 1) -> Session:
        """A session two steps from its start, so that no tensor is zero."""
        session = self.open(adapter, seed)
        for step in range(2):
            session.forward_backward(self.batch(seed=100 + step), CrossEntropy())
            session.optim_step(AdamW(lr=1e-2, max_grad_norm=0.0)).result()
        return session

    def batch(self, lengths: Sequence[int] = (5, 9, 3, 7), seed: int = 0) -> Batch:
        """Random tokens of a small alphabet with weights, some of them 0; two sequences a group."""
        rng = np.random.default_rng(seed)
        rows = []
        for length in lengths:
            weights = rng.uniform(0.2, 1.0, length) * (rng.random(length) < 0.7)
            weights[-1] = 1.0
            tokens = rng.integers(5, min(self.vocabulary, 45), length)
            rows.append((tokens, {"weights": weights}))
        return Batch.from_sequences(rows, groups=np.arange(len(rows)) // 2)
