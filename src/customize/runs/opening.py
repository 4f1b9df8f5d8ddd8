"""`open`: a run's folder, a package or a model, each with the face of a run. Trains nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

from customize._errors import ModelError, OptionError
from customize.data.rendering import ChatRenderer
from customize.data.rendering.folder import ChatFolder
from customize.interfaces.backend import Backend
from customize.models import resolve
from customize.packaging.manifest import MANIFEST, Manifest
from customize.packaging.opening import read_sound
from customize.runs.backends import choose_backend, exact
from customize.runs.base import check_base
from customize.runs.folder import RunFolder
from customize.runs.package import PackagedRun
from customize.runs.run import Run

_PEFT = "adapter_config.json"


def open(
    source: str | os.PathLike[str],
    *,
    revision: str | None = None,
    backend: str | Backend | None = None,
    base: str | os.PathLike[str] | None = None,
) -> Run:
    """A run's folder, a package, or any model: the same face.

    A package that a backend can load is loaded by one, in float32 where its weights are kept so,
    as it was proven, unless ``backend`` is given; any other answers by its own runtime.

    ``base`` is where the base of a package's adapter lies, if not under the name it was trained by.

    ``revision`` is the branch, tag or commit of a hub model.

    Raises:
        UnknownName, ModelError: it is none of these, or the base is not the run's or adapter's own,
            or writes conversations otherwise.
        OptionError: a revision or base is given for what has none.
    """
    path = Path(source)
    folder = RunFolder(path)
    if folder.exists:
        _refuse("base", base, f"exported adapters: the run in {folder.path} names its own")
        return _open_run(folder, revision, backend)
    if has_own_runtime(path):
        _refuse("backend", backend, f"what a backend can load: {path} has a runtime of its own")
        return PackagedRun(path, base)
    manifest = read_sound(path) if (path / MANIFEST).is_file() else None
    chosen = choose_backend("auto" if backend is None else backend)
    if backend is None and manifest is not None and manifest.precision == "float32":
        chosen = exact(chosen)
    if (path / _PEFT).is_file():
        below, at = _base_of(path) if base is None else (os.fspath(base), None)
        model = resolve(below, revision or at)
        if manifest is not None:
            _check_chat(path, model.path)
        return Run(None, model, chosen, adapter=path)
    _refuse("base", base, f"exported adapters: {path} is none")
    if path.is_dir() and not (path / "config.json").is_file():
        inside = path / "run"  # of a correction
        hint = f"; there is a run in it: {inside}" if RunFolder(inside).exists else ""
        raise ModelError(
            f"{path} is neither a run's folder (it has no recipe.json) nor a model's (it has no "
            f"config.json) nor an adapter's (it has no adapter_config.json){hint}"
        )
    return Run(None, resolve(os.fspath(source), revision), chosen)


def _open_run(folder: RunFolder, revision: str | None, backend: str | Backend | None) -> Run:
    _refuse(
        "revision", revision, f"models of the hub: the run in {folder.path} names its base's own"
    )
    recipe = folder.recipe()
    given = (recipe.backend, recipe.backend_options) if backend is None else (backend,)
    chosen = choose_backend(*given)
    model = None if chosen.name == "toy" else resolve(recipe.model, recipe.revision)
    if model is not None:
        check_base(folder, model)
    return Run(folder, model, chosen)


def has_own_runtime(folder: Path) -> bool:
    """Whether it is a package without weights that backends read."""
    names = (_PEFT, "model.safetensors", "model.safetensors.index.json")
    return (folder / MANIFEST).is_file() and not any((folder / n).is_file() for n in names)


def _refuse(name: str, value: object, whose: str) -> None:
    if value is not None:
        raise OptionError(f"{name}={str(value)!r} is for {whose}")


def _check_chat(package: Path, base: Path) -> None:
    """A backend renders by the base, and the package was proven by what it holds itself."""
    ours, theirs = ChatFolder.read(package), ChatFolder.read(base)
    is_same = (ours.templates, ours.special) == (theirs.templates, theirs.special)
    stops = ChatRenderer.from_folder(base).stop_tokens
    if not is_same or {*stops} != {*Manifest.read(package).stop_tokens}:
        raise ModelError(
            f"{base} writes conversations otherwise than {package}: its chat template, its special "
            "or its stop tokens were changed. Put back what was there, or export the run again "
            "with merged=true, which needs no base"
        )


def _base_of(adapter: Path) -> tuple[str, str | None]:
    """The model that an exported adapter says it belongs to, and its revision on the hub."""
    config = json.loads((adapter / _PEFT).read_text("utf-8"))
    said = config.get("base_model_name_or_path")
    if isinstance(said, str) and Path(said).is_dir():
        return said, None
    if (adapter / MANIFEST).is_file():
        known = Manifest.read(adapter).base
        return known["name"], known["revision"]
    if isinstance(said, str):
        return said, config.get("revision")
    raise ModelError(f"{adapter} does not say which model it belongs to: give base")
