"""The hooks a plugin may implement. Knows nothing of who does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

from customize.plugins.specs import (
    BackendSpec,
    DatasetSpec,
    EncoderSpec,
    EnvironmentSpec,
    ExporterSpec,
    IndexSpec,
    MethodSpec,
    ModelSpec,
    ObserverSpec,
    ReaderSpec,
    ScorerSpec,
)

if TYPE_CHECKING:
    from customize.interfaces.observer import ObservedRun

PROJECT = "customize"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def customize_methods() -> Iterable[MethodSpec]:  # type: ignore[empty-body]
    """Ways of learning: SFT, DPO and the like."""


@hookspec
def customize_backends() -> Iterable[BackendSpec]:  # type: ignore[empty-body]
    """Hardware and services that can run the primitives."""


@hookspec
def customize_exporters() -> Iterable[ExporterSpec]:  # type: ignore[empty-body]
    """Formats that others serve."""


@hookspec
def customize_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """Models by name."""


@hookspec
def customize_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Data sets by name."""


@hookspec
def customize_readers() -> Iterable[ReaderSpec]:  # type: ignore[empty-body]
    """Formats of files, by suffix."""


@hookspec
def customize_observers(run: ObservedRun | None) -> Iterable[ObserverSpec]:  # type: ignore[empty-body]
    """Those who can be told of runs: trackers and the like.

    Asked with None for all whom a recipe may name, and before every run, and every evaluation of
    one, with what is known of it, its ``step`` aside. Of what it gives for a run those with
    ``always=True`` are told of it, named or not.
    """


@hookspec
def customize_scorers() -> Iterable[ScorerSpec]:  # type: ignore[empty-body]
    """What an answer is worth, by name."""


@hookspec
def customize_environments() -> Iterable[EnvironmentSpec]:  # type: ignore[empty-body]
    """What a model is put into to learn by reward, by name."""


@hookspec
def customize_indexes() -> Iterable[IndexSpec]:  # type: ignore[empty-body]
    """Where chunks of documents are kept and found again, by name."""


@hookspec
def customize_encoders() -> Iterable[EncoderSpec]:  # type: ignore[empty-body]
    """What makes vectors of texts, beside an index's words, by name."""
