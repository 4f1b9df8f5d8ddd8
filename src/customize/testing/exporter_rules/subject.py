"""An exporter under test, and a trained session for it to export. Knows no rule."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from customize._batch import Batch
from customize._errors import Unsupported
from customize._losses import CrossEntropy
from customize.interfaces.backend import AdamW, Backend, Engine, LoRA, Session
from customize.interfaces.exporter import Exportable, Exporter
from customize.interfaces.model import ModelFolder
from customize.runs.backends import choose_backend
from customize.runs.export import exact
from customize.testing.rules import NotApplicable
from customize.testing.serving import Served, serve
from customize.testing.subject import Subject
from customize.testing.tiny_model import write_tiny_model

_MESSAGES = (
    [{"role": "user", "content": "Do you deliver?"}],
    [
        {"role": "system", "content": "You are terse."},
        {"role": "user", "content": "Caf\u00e9 \u2014 12.50 \u20ac? \u65e5\u672c \U0001f355 <b>"},
    ],
    [
        {"role": "user", "content": "  two  spaces\n\nand lines "},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Sure?"},
    ],
)


class ExporterSubject(Subject):
    """An exporter with a session that is far from its base, exported once for all rules."""

    kind: ClassVar[str] = "exporter"

    def __init__(self, name: str, exporter: Exporter, backend: Backend | None = None) -> None:
        super().__init__(name)
        self.exporter = exporter
        self._given = backend

    def obstacle(self) -> str | None:
        try:
            backend = self._backend
        except Unsupported as error:
            return str(error)
        if "peft" not in backend.capabilities():
            return f"the backend {backend.name} does not declare peft: pass on='cpu'"
        return backend.probe()

    @functools.cached_property
    def _backend(self) -> Backend:
        return exact(self._given or choose_backend("auto"))

    @functools.cached_property
    def model(self) -> ModelFolder:
        """The kit's own."""
        return write_tiny_model(self.folder() / "model")

    @functools.cached_property
    def engine(self) -> Engine:
        return self._backend.load(self.model)

    @functools.cached_property
    def session(self) -> Session:
        session = self.engine.open(LoRA(rank=4), seed=1)
        answer = {"role": "assistant", "content": "Certainly not today."}
        rendered = [session.renderer.render([*messages, answer]) for messages in _MESSAGES]
        batch = Batch.from_sequences([(r.tokens, {"weights": r.weights}) for r in rendered])
        for _ in range(15):
            session.forward_backward(batch, CrossEntropy())
            session.optim_step(AdamW(lr=0.03)).result()
        return session

    @property
    def source(self) -> Exportable:
        """What is to be exported."""
        return self.exportable(self.session)

    def exportable(self, session: Session) -> Exportable:
        """A session on the kit's model, with prompts of every sort."""
        return Exportable(self.model, self.engine, session, _MESSAGES, "# A model card\n")

    @functools.cached_property
    def _exported(self) -> tuple[Path, Mapping[str, float]]:
        to = self.folder() / "out"
        return to, self.exporter.export(self.source, to)

    @property
    def exported(self) -> Path:
        """The folder of the one export."""
        return self._exported[0]

    @property
    def figures(self) -> Mapping[str, float]:
        """The parity figures it gave."""
        return self._exported[1]

    @functools.cached_property
    def served(self) -> Served:
        """The export, as what it ``serves`` loads it.

        Raises:
            NotApplicable: it cannot be loaded, which a rule of its own tells.
        """
        try:
            return self.load()
        except NotApplicable:
            raise
        except Exception as error:  # whatever the runtime raises
            raise NotApplicable(f"it cannot be loaded: {type(error).__name__}") from error

    def load(self) -> Served:
        """The export, loaded anew by what it ``serves``."""
        return serve(self.exporter.serves, self.exported, self.model.path)
