"""One stage of a run: its rows read, trained to the end, and what came of it kept in a folder."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from customize._errors import CheckpointError, DataError, OptionError, WorkerLost
from customize._files import replace_text, writing
from customize._live_line import say
from customize._memory import forget_peak, peak_bytes
from customize._processor import processor
from customize.data.dataset import IndexedDataset
from customize.data.reading import read
from customize.data.rendering.folder import ChatFolder
from customize.interfaces.backend import Backend
from customize.interfaces.method import Method, Step
from customize.interfaces.model import ModelFolder
from customize.interfaces.observer import Observer
from customize.interfaces.renderer import Renderer
from customize.interfaces.session import Adapter, LoRA, Session
from customize.retrieval.document_rows import document_rows, sensitive_in
from customize.runs.folder import RunFolder, folder_fingerprint, versions
from customize.runs.given import Given, Source
from customize.runs.report import write_report
from customize.training import sealed
from customize.training.checkpoints import latest
from customize.training.loop import Loop
from customize.training.observers import Observers
from customize.training.recipe import Recipe

_LOST_IN_VAIN = 3  # times in a row that workers may be lost at one checkpoint


@attrs.frozen
class Stage:
    """One stage, its rows read."""

    recipe: Recipe
    method: Method
    data: IndexedDataset
    validation: IndexedDataset | None

    @classmethod
    def of(cls, recipe: Recipe, given: Given) -> Stage:
        held_out = given.validation
        return cls(
            recipe,
            given.method,
            _read(given.data, given.method, recipe),
            None if held_out is None else _read(held_out, given.method, recipe),
        )

    def check_ahead(self, renderer: Renderer, context: int | None) -> None:
        """Refuse what its method would refuse once it has begun, in rows or in held-out rows that
        it measures on.

        Raises:
            DataError, OptionError, Unsupported: there is such a thing.
        """
        self.method.check_ahead(self.data, renderer, context)
        if self.validation is None or not self.recipe.evaluate_every:
            return
        try:
            self.method.check_ahead(self.validation, renderer, context)
        except (DataError, OptionError) as error:
            raise type(error)(f"the held-out rows: {error}") from error


def train_stage(
    stage: Stage,
    begin: Callable[[], Session],
    folder: RunFolder,
    watching: Sequence[Observer],
    machine: Mapping[str, str | int],
) -> None:
    """Train a stage to its end, from its last checkpoint where there is one, and finish its folder.

    ``machine``: what the backend says of it.

    Raises:
        WorkerLost: workers are lost again and again, and the run gets no further.
        CheckpointError: the best weights are damaged.
    """
    recipe = stage.recipe
    _keep_skipped(folder, stage.data, *([stage.validation] if stage.validation else []))
    with Observers(folder.path, recipe, folder.lineage(), watching) as observers:
        loop = Loop(
            folder=folder.path,
            observers=observers,
            checkpoint_every=recipe.checkpoint_every,
            evaluate_every=recipe.evaluate_every,
            keep_best=recipe.keep_best,
            patience=recipe.patience,
            skip_not_finite=recipe.skip_not_finite,
            facts={"recipe": recipe.hash},
        )
        held = None if forget_peak() else peak_bytes()
        whole, began = not loop.checkpoints.is_dir(), time.monotonic()
        session, last, is_unbroken = _to_the_end(stage, begin, loop)
        seconds, peak = time.monotonic() - began, peak_bytes()
        cost = {
            "seconds": seconds,
            "whole": whole and is_unbroken,
            "peak_bytes": session.device_peak() or (peak if peak != held else None),
            "machine": machine,
        }
        _keep_weights(recipe, loop, session, folder)
        _keep_beside(stage, session, folder)
        write_report(folder)
        folder.keep_cost(cost)
        folder.finish({"steps": last.number, "metrics": dict(last.metrics)})
        shutil.rmtree(loop.best, ignore_errors=True)
        session.close()


def _to_the_end(
    stage: Stage, begin: Callable[[], Session], loop: Loop
) -> tuple[Session, Step, bool]:
    """A session after its last step, and whether it is the first one: no worker was lost.

    Raises:
        WorkerLost: workers are lost again and again, and the run gets no further.
    """
    lost_at: list[int] = []
    while True:
        try:
            session = begin()
            last = loop.run(stage.method, session, stage.data, stage.validation)
            return session, last, not lost_at
        except WorkerLost as error:
            kept = latest(loop.checkpoints, say)
            lost_at.append(kept.step if kept else 0)
            if lost_at[-_LOST_IN_VAIN:] == [lost_at[-1]] * _LOST_IN_VAIN:
                raise
            say(f"{error}: the run goes on from its last checkpoint")


def _keep_skipped(folder: RunFolder, *read: IndexedDataset) -> None:
    """Each row that was left out, with its reason."""
    left_out = [
        json.dumps({"data": data.name, **attrs.asdict(row)})
        for data in read
        for row in data.report.bad
    ]
    if left_out:
        replace_text(folder.path / "skipped.jsonl", "".join(f"{line}\n" for line in left_out))


def _keep_weights(recipe: Recipe, loop: Loop, session: Session, folder: RunFolder) -> None:
    """Copied, not moved: a run killed before its finished marker does this again."""
    fill = session.save_weights
    if recipe.keep_best:
        if fault := sealed.damage(loop.best):
            raise CheckpointError(
                f"{loop.best} is damaged ({fault}): the best weights are lost, train once more in "
                "another folder"
            )
        fill = partial(_copy, loop.best)
    with writing(str(folder.adapter)):
        sealed.write(folder.adapter, fill, {})


def _keep_beside(stage: Stage, session: Session, folder: RunFolder) -> None:
    if type(stage.method).keep_beside is not Method.keep_beside:
        fill = partial(stage.method.keep_beside, session, stage.data)
        with writing(str(folder.assistant)):
            sealed.write(folder.assistant, fill, {})


def _copy(source: Path, to: Path) -> None:
    for name, file in sealed.files_in(source).items():
        if name != sealed.MANIFEST:
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, to / name)


def _read(source: Source, method: Method, recipe: Recipe) -> IndexedDataset:
    """The rows, after saying what was recognised, and what is bad, or in documents sensitive."""
    is_path = isinstance(source, str | os.PathLike)
    is_folder = is_path and Path(source).is_dir()  # type: ignore[arg-type]
    if method.data == "documents" and is_folder:
        source = document_rows(Path(source), recipe.on_bad_rows, say)  # type: ignore[arg-type]
    rows = read(source, kind=method.data, on_bad_rows=recipe.on_bad_rows)  # type: ignore[arg-type]
    say(rows.account())
    if method.data == "documents" and not is_folder:
        for line in sensitive_in(rows):
            say(line)
    return rows


def lineage_of(
    model: ModelFolder | None, backend: Backend, stage: Stage, start: Adapter | Path
) -> dict[str, Any]:
    """What the stage's weights come from, by fingerprint."""
    below = start.on if isinstance(start, LoRA) else start if isinstance(start, Path) else None
    went_on = {} if below is None else {"adapter": folder_fingerprint(Path(below))}
    chat = {} if model is None else {"chat": ChatFolder.read(model.path).fingerprint}
    return {
        "model": model.fingerprint if model else backend.name,
        **chat,
        "data": stage.data.fingerprint,
        "validation": stage.validation.fingerprint if stage.validation else None,
        **went_on,
        "backend": backend.name,
        "backend_options": dict(backend.numerics()),
        "versions": versions(),
        "processor": processor(),
    }
