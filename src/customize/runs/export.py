"""Exporting a run: what it says, how it was made, and what its package is held to.

Knows no format.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import attrs

from customize._errors import ParityError, RunError, Unsupported
from customize._live_line import LiveLine, say
from customize._options import options_of, options_to_dict
from customize._structuring import Faults, structure
from customize.data.rendering import ChatRenderer
from customize.interfaces.backend import Backend
from customize.interfaces.exporter import Exportable, Exporter
from customize.interfaces.model import ModelFolder
from customize.packaging.figures import doubts
from customize.packaging.manifest import MANIFEST, Manifest
from customize.packaging.prompts import Question, hard_questions, room_of
from customize.packaging.reference import fits, reference_cases
from customize.packaging.writing import (
    PARITY,
    Lineage,
    Proof,
    check_exportable,
    format_of,
    write_package,
)
from customize.plugins import load
from customize.runs.assistant import library_of
from customize.runs.assistant_package import pack_assistant
from customize.runs.backends import exact, quiet_libraries
from customize.runs.base import check_base
from customize.runs.card import package_card
from customize.runs.folder import RunFolder
from customize.runs.no_worse import Task, held_to_evaluation, is_exact, task_of
from customize.runs.own_rows import LEFT_OUT, OwnQuestions, own_questions
from customize.runs.package import PackagedRun
from customize.runs.report import evaluation_of, write_report

if TYPE_CHECKING:
    from customize.runs.run import Run

_PROMPTS = 6
_WORDS = 12  # of a chunk that is asked for
# What training again goes by, and is compared with.
_FILES = ("recipe.json", "lineage.json", "metrics.jsonl")
NEEDED = ("peft", "sample", "distributions")


def export_run(
    run: Run,
    form: str | Exporter,
    to: Path,
    options: Mapping[str, object],
    margin: float,
    despite_parity: bool,
    without_rows: bool = False,
) -> Manifest:
    """Ask the run in float32, so that only the export can differ, and write the package.

    Its verdict and speed stand in the run's report, also where it failed, unless the run's folder
    cannot be written to.
    """
    if run.folder is None or run.model is None:
        raise RunError(_nothing_in(run))
    exporter = choose_exporter(form, options)
    weights = run.folder.weights()
    check_base(run.folder, run.model)
    backend = exact(run.backend)
    if missing := [name for name in NEEDED if name not in backend.capabilities()]:
        raise Unsupported(
            f"an export needs {', '.join(missing)}, which the backend {_set(run.backend)} does not "
            "declare: open the run with another, as customize.open(run, backend='cpu')"
        )
    quiet_libraries()
    name = run.folder.path.resolve().name
    # What can be refused is, before anything large is loaded.
    source = Exportable(name, run.model, weights, ChatRenderer.from_folder(run.model.path))
    check_exportable(source, exporter, to)
    room = room_of(source, exporter)
    own = OwnQuestions([], LEFT_OUT)
    task: Task | str = f"the run's rows: {LEFT_OUT}"
    if not without_rows:
        own = own_questions(run.folder, source.renderer, room)
        task = "" if is_exact(exporter) else task_of(run.folder)
    passages = _from_documents(run, source, room)
    questions = [*own.questions, *passages, *hard_questions(source, room)]
    with LiveLine() as line:
        line.show(f"loading {run.model.name} in float32")
        engine = backend.load(run.model)
        session = engine.open(weights)
        line.show(f"asking the run {len(questions)} prompts")
        cases = reference_cases(session, engine.base(), questions)
    further = held_to_evaluation(task, exporter, source, session, margin)
    proof = Proof(cases, further, despite_parity, own.to_json())
    lineage = _lineage(run.folder, run.model, exporter)
    beside = partial(_pack_assistant, run)
    try:
        manifest = write_package(source, exporter, proof, lineage, to, beside)
    except ParityError:
        _note(run.folder, exporter, to, json.loads((to / PARITY).read_text("utf-8")))
        raise
    _note(run.folder, exporter, to, manifest.parity)
    for doubt in doubts(manifest.parity):
        say(f"{to}: {doubt}")
    return manifest


def _note(folder: RunFolder, exporter: Exporter, to: Path, parity: Mapping[str, Any]) -> None:
    if os.access(folder.path, os.W_OK):
        about = {"format": format_of(exporter), "precision": exporter.precision}
        folder.note_package(to, {**about, **{key: parity[key] for key in ("verdict", "measured")}})
        write_report(folder)


def _nothing_in(run: Run) -> str:
    """Why what is no run of a model cannot be exported."""
    if run.folder is not None:
        return "a run of the toy backend has no model: there is nothing to export"
    places = [run.adapter, run.model.path if run.model else None]
    if isinstance(run, PackagedRun) or any(p and (p / MANIFEST).is_file() for p in places):
        return "this is a package already: export the run that it was made from"
    return "a base model is no run: there is nothing to export"


def choose_exporter(
    form: str | Exporter, options: Mapping[str, object] = MappingProxyType({})
) -> Exporter:
    """An instance as it is, or a name's exporter with its options.

    Raises:
        UnknownName: nobody provides it.
        OptionError: an option is none of its own, or out of bounds.
    """
    if isinstance(form, Exporter):
        return form
    faults = Faults()
    made: Exporter | None = structure(load("exporter", form), options, faults)
    faults.raise_if_any(f"the exporter {form}")
    assert made is not None
    return made


def _set(backend: Backend) -> str:
    """Its name, and the options that are set."""
    if not attrs.has(type(backend)):
        return repr(backend.name)
    usual = {one.name: one.default for one in options_of(type(backend))}
    told = [f"{k}={v}" for k, v in options_to_dict(backend).items() if v != usual.get(k)]
    return f"{backend.name!r}{' with ' if told else ''}{', '.join(told)}"


def _from_documents(run: Run, source: Exportable, room: int | None) -> list[Question]:
    """Passages of the run's own index before the words that one of them begins with, where ``room``
    tokens hold them.
    """
    if not run.has_assistant:
        return []
    library = library_of(run, source.renderer.fingerprint)
    chunks = list(library.index.chunks())
    found: list[Question] = []
    for chunk in chunks[:: max(1, len(chunks) // _PROMPTS)][:_PROMPTS]:
        asked = " ".join(chunk.text.split()[:_WORDS])
        shown = [hit.chunk for hit in library.hits(asked, None)]
        messages = library.grounding.messages(asked, shown)
        question = Question(f"passages {len(found) + 1}", messages, is_kept=False)
        if fits(source.renderer, question, room):
            found.append(question)
    return found


def _pack_assistant(run: Run, package: Path) -> None:
    if (kept := run.assistant_folder) is not None:
        pack_assistant(kept, package)


def _lineage(folder: RunFolder, model: ModelFolder, exporter: Exporter) -> Lineage:
    recipe = folder.recipe()
    files = {name: folder.path / name for name in _FILES if (folder.path / name).is_file()}
    facts = {"recipe": recipe.hash, **folder.lineage()}
    evaluation = evaluation_of(folder)
    return Lineage(
        facts,
        files,
        lambda manifest: package_card(manifest, exporter.serves, folder, model, evaluation),
    )
