"""An exporter under test, and a trained session for it to package. Knows no rule."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import ClassVar

from customize._batch import Batch
from customize._errors import Unsupported
from customize._losses import CrossEntropy
from customize.interfaces.backend import Backend, Engine
from customize.interfaces.exporter import Exportable, Exporter
from customize.interfaces.model import ModelFolder
from customize.interfaces.runtime import Runtime
from customize.interfaces.session import AdamW, LoRA, Session
from customize.packaging.manifest import Manifest
from customize.packaging.prompts import Question, hard_questions, room_of
from customize.packaging.reference import Case, reference_cases
from customize.packaging.writing import Lineage, Proof, write_package
from customize.runs.backends import choose_backend, exact
from customize.runs.export import NEEDED
from customize.testing.rules import NotApplicable
from customize.testing.serving import Served, serve
from customize.testing.subject import Subject
from customize.testing.tiny_model import write_tiny_model

MESSAGES = (
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
    """An exporter with a session that is far from its base, packaged once for all rules."""

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
        if missing := [name for name in NEEDED if name not in backend.capabilities()]:
            told = ", ".join(missing)
            return f"the backend {backend.name} does not declare {told}: pass on='cpu'"
        return backend.probe()

    @functools.cached_property
    def _backend(self) -> Backend:
        return exact(self._given or choose_backend("auto"))

    @functools.cached_property
    def model(self) -> ModelFolder:
        """The kit's own."""
        return write_tiny_model(self.folder() / "model", rounded=True)

    @functools.cached_property
    def engine(self) -> Engine:
        return self._backend.load(self.model)

    @functools.cached_property
    def session(self) -> Session:
        session = self.engine.open(LoRA(rank=4), seed=1)
        answer = {"role": "assistant", "content": "Certainly not today."}
        rendered = [session.renderer.render([*messages, answer]) for messages in MESSAGES]
        batch = Batch.from_sequences([(r.tokens, {"weights": r.weights}) for r in rendered])
        # Not at a rate at which it swings: then a weight's last bit decides what is likeliest.
        for _ in range(15):
            session.forward_backward(batch, CrossEntropy())
            session.optim_step(AdamW(lr=0.01)).result()
        return session

    @functools.cached_property
    def source(self) -> Exportable:
        """What is to be written."""
        return self._source_of(self.model)

    def untouched_source(self) -> Exportable:
        """The same in folders of its own, which no exporter has seen."""
        return self._source_of(write_tiny_model(self.folder() / "model", rounded=True))

    def _source_of(self, model: ModelFolder) -> Exportable:
        weights = self.folder() / "weights"
        self.session.save_weights(weights)
        return Exportable("the.one", model, weights, self.engine.renderer)

    @functools.cached_property
    def cases(self) -> Sequence[Case]:
        """What the session says, to the kit's own messages and to hard ones."""
        own = [Question(f"own {i}", messages) for i, messages in enumerate(MESSAGES, start=1)]
        room = room_of(self.source, self.exporter)
        questions = [*own, *hard_questions(self.source, room)]
        return reference_cases(self.session, self.engine.base(), questions)

    def write(self, source: Exportable, to: Path, despite: bool = False) -> Manifest:
        """Package the session into ``to``; raises as an export does."""
        lineage = Lineage({}, {}, lambda manifest: "# A model card\n")
        return write_package(source, self.exporter, Proof(self.cases, None, despite), lineage, to)

    @functools.cached_property
    def _packaged(self) -> tuple[Path, Manifest]:
        to = self.folder() / "out"
        return to, self.write(self.source, to, despite=True)

    @property
    def manifest(self) -> Manifest:
        """Of the one package, which may answer otherwise; raises as an export does."""
        return self._packaged[1]

    @property
    def package(self) -> Path:
        """The folder of the one package.

        Raises:
            NotApplicable: it cannot be written, which a rule of its own tells.
        """
        try:
            return self._packaged[0]
        except Exception as error:  # whatever an exporter raises
            raise NotApplicable(f"it cannot be packaged: {type(error).__name__}") from error

    @functools.cached_property
    def runtime(self) -> Runtime:
        """The package, loaded by the exporter's runtime in this process."""
        module, _, name = self.exporter.runtime.partition(":")
        opened: type[Runtime] = getattr(import_module(module), name)
        return opened.open(self.package, {}, self._base)

    @property
    def adapter(self) -> str | None:
        """What to ask the runtime for."""
        return self.runtime.adapters[0] if self.runtime.adapters else None

    @functools.cached_property
    def served(self) -> Served:
        """The package, as what it ``serves`` loads it.

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
        """The package, loaded anew by what it ``serves``."""
        return serve(self.exporter.serves, self.package, self.model.path)

    @property
    def _base(self) -> Path | None:
        return self.model.path if self.exporter.needs_base(self.source) else None
