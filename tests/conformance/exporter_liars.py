"""A small honest exporter with its runtime, and ones that break one rule each."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import attrs
import numpy as np

from customize import (
    Answering,
    Exportable,
    Exporter,
    Query,
    Runtime,
    Said,
    Snapshot,
    option,
    options,
    resolve,
)

_FILES = ("adapter_config.json", "adapter_model.safetensors", "customize.json")


class Engines(Runtime):
    """The adapter on the backend cpu; each token is computed from the start."""

    context, slots = 512, 2
    fits_schemas = True

    def __init__(self, base: Path, folder: Path) -> None:
        from customize_torch.backend import CPU

        engine = CPU(dtype="float32").load(resolve(base))
        self.renderer = engine.renderer
        name = json.loads((folder / "package.json").read_text("utf-8"))["name"]
        self.adapters: tuple[str, ...] = (name,)
        self.snapshots: dict[str | None, Snapshot] = {
            None: engine.base(),
            name: engine.open(folder),
        }
        self.turn = threading.Lock()  # an engine computes for one thread at a time

    @classmethod
    def open(
        cls, folder: Path, adapters: Mapping[str, Path] = {}, base: Path | None = None
    ) -> Runtime:
        assert base is not None
        return cls(base, folder)

    def stream(self, query: Query, cancelled: threading.Event | None = None) -> Iterator[Said]:
        self.check(query)
        answering = Answering(query, self.renderer, self.context)
        while not answering.over and not (cancelled and cancelled.is_set()):
            both = np.asarray([*query.tokens, *answering.tokens, 0], np.int32)
            [logits_V] = self.logprobs(both, len(both) - 1, query.adapter)
            yield answering.draw(logits_V)

    def logprobs(self, tokens: Any, start: int, adapter: str | None = None) -> Any:
        with self.turn:
            return self.snapshots[adapter].distributions(tokens, start)


@options
class Honest(Exporter):
    """An adapter folder."""

    serves: ClassVar[str] = "transformers"
    runtime: ClassVar[str] = f"{__name__}:Engines"

    @property
    def precision(self) -> str:
        return "float32"

    def needs_base(self, source: Exportable) -> bool:
        return True

    def write(self, source: Exportable, folder: Path) -> None:
        for name in _FILES:
            shutil.copy(source.weights / name, folder)


@options
class Unhelpful(Honest):
    level: int = option(default=1, help="", at_least=0)


class PromptsOtherwise(Engines):
    def own_prompt(self, messages: Any, tools: Any = None) -> Any:
        return self.renderer.prompt([*messages, *messages], tools)


@options
class Keeps(Honest):
    """Writes what it was given first, whatever it is given later."""

    first: ClassVar[dict[str, bytes]] = {}

    def write(self, source: Exportable, folder: Path) -> None:
        given = {name: (source.weights / name).read_bytes() for name in _FILES}
        for name, content in given.items():
            (folder / name).write_bytes(self.first.setdefault(name, content))


@options
class Litters(Honest):
    def write(self, source: Exportable, folder: Path) -> None:
        super().write(source, folder)
        (source.weights / "notes.txt").write_text("exported")


def _set(folder: Path, key: str, value: object) -> None:
    """In what PEFT reads; the backend reads the tensors."""
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), key: value}), "utf-8")


@options
class ServesNothing(Honest):
    def write(self, source: Exportable, folder: Path) -> None:
        super().write(source, folder)
        _set(folder, "target_modules", ["no_such_layer"])


@options
class ServesHalf(Honest):
    def write(self, source: Exportable, folder: Path) -> None:
        super().write(source, folder)
        _set(folder, "layers_to_transform", [0])


@options
class HasAnotherTemplate(Honest):
    def write(self, source: Exportable, folder: Path) -> None:
        super().write(source, folder)
        (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")


class Doubles(Engines):
    def logprobs(self, tokens: Any, start: int, adapter: str | None = None) -> Any:
        return super().logprobs(tokens, start, adapter).astype(np.float64)


class TellsNoOthers(Engines):
    def stream(self, query: Query, cancelled: threading.Event | None = None) -> Iterator[Said]:
        return super().stream(attrs.evolve(query, top_logprobs=0), cancelled)


class AlwaysTheFirst(Engines):
    def stream(self, query: Query, cancelled: threading.Event | None = None) -> Iterator[Said]:
        return super().stream(attrs.evolve(query, index=0), cancelled)


class StopsAtItsOwn(Engines):
    def stream(self, query: Query, cancelled: threading.Event | None = None) -> Iterator[Said]:
        stops = None if query.sampling.stop_tokens else query.sampling.stop_tokens
        sampling = attrs.evolve(query.sampling, stop_tokens=stops)  # type: ignore[misc]
        return super().stream(attrs.evolve(query, sampling=sampling), cancelled)


class StopsOnlyWhereItIsTold(Engines):
    """Nowhere by itself: a query that names no stop tokens gets all that it asks for."""

    def stream(self, query: Query, cancelled: threading.Event | None = None) -> Iterator[Said]:
        stops = query.sampling.stop_tokens or ()
        sampling = attrs.evolve(query.sampling, stop_tokens=stops)  # type: ignore[misc]
        return super().stream(attrs.evolve(query, sampling=sampling), cancelled)


class RefusesNothing(Engines):
    def check(self, query: Query) -> None:
        pass


class GoesOn(Engines):
    def stream(self, query: Query, cancelled: threading.Event | None = None) -> Iterator[Said]:
        return super().stream(query)


class SaysThatItFits(Engines):
    def stream(self, query: Query, cancelled: threading.Event | None = None) -> Iterator[Said]:
        return super().stream(attrs.evolve(query, schema=None), cancelled)


class HasNoBase(Engines):
    def __init__(self, base: Path, folder: Path) -> None:
        super().__init__(base, folder)
        self.snapshots[None] = self.snapshots[self.adapters[0]]


def _by(runtime: type[Runtime]) -> Callable[[], Exporter]:
    """The honest exporter, answered for by this runtime."""

    @options
    class Other(Honest):
        pass

    Other.runtime = f"{__name__}:{runtime.__name__}"
    return Other


never_stops = _by(StopsOnlyWhereItIsTold)

LIARS: dict[str, Callable[[], Exporter]] = {
    "check_exporter_options_are_declared": Unhelpful,
    "check_package_passes_the_gate": _by(PromptsOtherwise),
    "check_only_the_weights_given_are_written": Keeps,
    "check_source_is_left_as_it_was": Litters,
    "check_what_it_serves_loads_it": ServesNothing,
    "check_export_answers_as_the_session": ServesHalf,
    "check_tokenizer_and_template_are_in_it": HasAnotherTemplate,
    "check_runtime_gives_probabilities": _by(Doubles),
    "check_runtime_says_what_is_likeliest": _by(TellsNoOthers),
    "check_runtime_draws_by_seed": _by(AlwaysTheFirst),
    "check_runtime_ends_where_it_should": _by(StopsAtItsOwn),
    "check_runtime_refuses_what_it_cannot_answer": _by(RefusesNothing),
    "check_runtime_frees_what_is_left": _by(GoesOn),
    "check_runtime_holds_to_a_schema": _by(SaysThatItFits),
    "check_runtime_without_an_adapter_is_the_base": _by(HasNoBase),
}
