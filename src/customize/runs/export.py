"""Exporting a run: what an exporter is given. Knows no format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from customize._errors import ExportError, RunError
from customize._files import writing
from customize._options import options_to_dict
from customize.data.reading import read
from customize.interfaces.backend import Backend
from customize.interfaces.exporter import Exportable, Exporter
from customize.plugins import load
from customize.runs.backends import quiet_libraries
from customize.training.structuring import Faults, structure

if TYPE_CHECKING:
    from customize.runs.run import Run

_PROMPTS = 6
# No control token in it: we encode those in a user's text as plain text, most runtimes do not.
_HARD = "Caf\u00e9 \u2014 12.50 \u20ac? \u65e5\u672c\u8a9e \U0001f355 `x = [1, 2]`  <b>ok</b>"


def export_run(
    run: Run, form: str | Exporter, to: Path, options: Mapping[str, object]
) -> Mapping[str, float]:
    """Open the run in float32, so that only the export can differ, and hand it over."""
    if run.folder is None or run.model is None:
        raise RunError("a base model is no run: there is nothing to export")
    weights = run.folder.weights()
    exporter = form if isinstance(form, Exporter) else _made(form, options)
    quiet_libraries()
    engine = exact(run.backend).load(run.model)
    session = engine.open(weights)
    card = (run.folder.path / "README.md").read_text("utf-8")
    prompts = _prompts(run)
    with writing(str(to), ExportError):
        return exporter.export(Exportable(run.model, engine, session, prompts, card), to)


def _made(name: str, options: Mapping[str, object]) -> Exporter:
    faults = Faults()
    made: Exporter | None = structure(load("exporter", name), options, faults)
    faults.raise_if_any(f"the exporter {name}")
    assert made is not None
    return made


def exact(backend: Backend) -> Backend:
    """The backend in float32, where it lets one choose."""
    if not attrs.has(type(backend)):
        return backend
    options = dict(options_to_dict(backend))
    return _with(backend, {**options, "dtype": "float32"}) if "dtype" in options else backend


def _with(backend: Backend, options: Mapping[str, Any]) -> Backend:
    return type(backend)(**options)


def _prompts(run: Run) -> Sequence[Sequence[Mapping[str, Any]]]:
    """Held-out questions where the run has them and they can still be read, and a hard one."""
    assert run.folder is not None
    recipe = run.folder.recipe()
    hard = [[{"role": "user", "content": _HARD}]]
    for source in (recipe.validation, recipe.data):
        if source is not None and Path(source).is_file():
            rows = read(source, on_bad_rows="skip")
            picked = range(0, len(rows), max(1, len(rows) // _PROMPTS))
            return [_asked(rows[i]["messages"]) for i in picked][:_PROMPTS] + hard
    return hard


def _asked(messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """What comes before the answer; a pair's messages end there already."""
    return messages[:-1] if messages[-1]["role"] == "assistant" else messages
