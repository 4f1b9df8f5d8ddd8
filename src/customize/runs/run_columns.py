"""Runs, models and endpoints as columns of an evaluation. Compare nothing."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import attrs

from customize._options import options_to_dict
from customize.evaluation.columns import Column, SnapshotColumn
from customize.evaluation.endpoints import Endpoint, EndpointColumn
from customize.evaluation.families import family_of
from customize.evaluation.prompting import Prompting
from customize.evaluation.retrieving import RetrievingColumn
from customize.interfaces.index import Index
from customize.retrieval.grounding import Grounding
from customize.retrieval.index_folder import open_index
from customize.retrieval.library import Library
from customize.training.evaluation_plan import OWN, RETRIEVED

if TYPE_CHECKING:
    from customize.runs.run import Run

Source: TypeAlias = "str | os.PathLike[str] | Run | Endpoint"
_NO_PROMPT = Prompting()


def other_column(source: Source, name: str, prompting: Prompting = _NO_PROMPT) -> Column:
    """A run, a model or an endpoint, or what names one, as a column.

    ``prompting`` is for those that nobody customized here: models as they are, and endpoints.
    """
    from customize.runs.opening import open
    from customize.runs.run import Run

    if isinstance(source, str) and "://" in source:
        source = Endpoint.parse(source)
    if isinstance(source, Endpoint):
        return EndpointColumn(name, source, prompting)
    run = source if isinstance(source, Run) else open(source)
    column = column_of(run, name)
    return column if is_customized(run) else prompted(column, name, prompting)


def column_of(run: Run, name: str, base: bool = False) -> SnapshotColumn:
    """A run, or its base, as a column."""
    fingerprint, weights = fingerprint_of(run, base), _weights(run)
    if base or weights is None:
        return SnapshotColumn(
            name,
            run.customized if weights is None else run.base,
            fingerprint=fingerprint,
            told=f"the base, {_named(run)}",
            family=_family(run),
        )
    told = str(run.folder.path if run.folder else weights)
    return SnapshotColumn(
        name, run.customized, fingerprint=fingerprint, told=told, family=_family(run)
    )


def prompted(column: SnapshotColumn, name: str, prompting: Prompting) -> SnapshotColumn:
    """The column under another name, asked with a prompt."""
    if prompting == _NO_PROMPT:
        return attrs.evolve(column, name=name)
    told = f"{column.told}; prompt: {prompting.told}"
    return attrs.evolve(column, name=name, prompting=prompting, told=told)


def retrieved_column(run: Run, index: Index | str | os.PathLike[str]) -> RetrievingColumn:
    """The run with passages put before each question, as its assistant shows them if it has one.

    ``index`` is one that is open, the folder of one, or `OWN`.

    Raises:
        RunError: it should be the run's own, which keeps none.
        DataError: it cannot be opened, or is damaged.
    """
    own = column_of(run, RETRIEVED)
    if index == OWN or run.has_assistant:
        assistant = run.assistant(None if index == OWN else index)
        library = Library(assistant.index, assistant.grounding)
    else:
        opened = index if isinstance(index, Index) else open_index(Path(index))
        library = Library(opened, Grounding())
    whence = "an open index" if isinstance(index, Index) else f"the index {os.fspath(index)}"
    return RetrievingColumn(
        name=own.name,
        snapshot=own.snapshot,
        fingerprint=own.fingerprint,
        told=f"{own.told}; {library.grounding.k} passages of {whence}",
        family=own.family,
        library=library,
    )


def is_customized(run: Run) -> bool:
    """Whether anything was put on its base."""
    return run.folder is not None or run.adapter is not None


def fingerprint_of(run: Run, base: bool = False) -> str:
    """What a run's answers, or its base's, are a function of; loads nothing."""
    weights = _weights(run)
    return _base(run) if base or weights is None else f"{_base(run)} {_hash(weights)}"


def have_one_base(one: Run, other: Run) -> bool:
    """Whether two runs were made of the same weights; loads nothing."""
    if one.model is None or other.model is None:
        return _base(one) == _base(other)  # the toy backend holds no model
    return one.model.fingerprint == other.model.fingerprint


def _weights(run: Run) -> Path | None:
    return run.folder.weights() if run.folder else run.adapter


def _named(run: Run) -> str:
    return run.model.name if run.model else run.backend.name


def _family(run: Run) -> str | None:
    """By the model's name, or else by what its configuration says that it is."""
    if run.model is None:
        return None
    config = json.loads((run.model.path / "config.json").read_text("utf-8"))
    return family_of(run.model.name) or family_of(str(config.get("model_type", "")))


def _base(run: Run) -> str:
    """What a base's answers are a function of: its weights, and what computes with them."""
    known = attrs.has(type(run.backend))
    options = dict(options_to_dict(run.backend)) if known else {}
    return f"{run.backend.name} {options} {run.model.fingerprint if run.model else ''}"


def _hash(folder: Path) -> str:
    found = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            found.update(file.name.encode())
            with file.open("rb") as stream:
                found.update(hashlib.file_digest(stream, "sha256").digest())
    return found.hexdigest()
