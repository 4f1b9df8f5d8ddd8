"""Where a model comes from: a plugin's name, a folder, a GGUF file or a hub id.

Knows nothing of the formats: it finds who does.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from customize._errors import MissingDependency, ModelError, OptionError, UnknownName
from customize.interfaces.model import ModelFolder
from customize.models.cache import made_once
from customize.models.fingerprints import file_hash, fingerprint
from customize.models.hub import download, is_hub_id

if TYPE_CHECKING:
    from customize.plugins import Offer

DTYPES = ("bfloat16", "float32")
# Part of a converted folder's name; to be raised when the same file is to convert differently.
_CONVERSION = 2


@attrs.frozen
class Located:
    """A model on disk whose tensors have not been looked at."""

    path: Path
    name: str
    revision: str | None = None


def resolve(
    model: str | Path | ModelFolder, revision: str | None = None, dtype: str = "bfloat16"
) -> ModelFolder:
    """Find, fetch or convert a model, check it, and say which one exactly it is.

    Args:
        model: a name that a plugin offers, else a local folder or .gguf file, else a hub id
            (``owner/model``); a ``Path`` is only ever local.
        revision: branch, tag or commit of a hub model.
        dtype: how weights that must be converted (GGUF) are stored: "bfloat16" or "float32";
            others keep theirs.

    Raises:
        OptionError: ``dtype`` is unknown, or a revision is given for what has none.
        UnknownName: it is none of these.
        ModelError: it is missing, damaged, or holds code or pickle.
        MissingDependency: what it needs is not installed; the message installs it.
    """
    if isinstance(model, ModelFolder) and revision is None:
        return model
    found = locate(model, revision, dtype)
    return ModelFolder(found.path, found.name, fingerprint(found.path), found.revision)


def check_named(model: str) -> None:
    """Whether there may be such a model, told from its name alone: nothing is fetched or read.

    Raises:
        UnknownName: no plugin offers the name, and it is no path and no hub id.
        ModelError: there is no such folder or file.
    """
    if _is_on_hub(model):
        return
    if _is_offered(model) or not _is_local(model):
        _offer_named(model)
    else:
        _check_disk(Path(model).expanduser().absolute())


def locate(
    model: str | Path | ModelFolder, revision: str | None = None, dtype: str = "bfloat16"
) -> Located:
    """The folder alone, as `resolve` finds it, without reading the tensors it hashes."""
    if dtype not in DTYPES:
        raise OptionError(f"dtype must be one of {', '.join(DTYPES)} (got {dtype!r})")
    if isinstance(model, str) and _is_on_hub(model):
        path = download(model, revision)
        return Located(path, model, path.name)
    if revision is not None:
        raise OptionError(f"revision={revision!r} is for models of the hub; {model} is not one")
    if isinstance(model, ModelFolder):
        return Located(model.path, model.name, model.revision)
    if isinstance(model, str) and (_is_offered(model) or not _is_local(model)):
        return _from_plugin(model, dtype)
    return _from_disk(Path(model).expanduser(), dtype)


def hub_name(model: ModelFolder) -> str | None:
    """What it is called on the hub, where it comes from there or a plugin says that it does."""
    from customize.plugins.specs import ModelSpec

    if model.revision is not None:
        return model.name
    if not _is_offered(model.name):
        return None
    spec = _offer_named(model.name).spec
    if not isinstance(spec, ModelSpec) or locate(model.name).path != model.path:
        return None
    return spec.hub


def _is_offered(name: str) -> bool:
    """Whether a plugin has the name; first of all, so that no folder here can take its place."""
    from customize.plugins import names

    return name in names("model") or re.fullmatch(r"[\w.\-]{2,}:[\w.\-]+", name) is not None


def _is_on_hub(name: str) -> bool:
    is_file = name.lower().endswith(".gguf")
    return is_hub_id(name) and not is_file and not _is_offered(name) and not _exists(name)


def _is_local(name: str) -> bool:
    """Whether ``name`` is, or can only be meant as, a path."""
    return name.lower().endswith(".gguf") or "/" in name or "\\" in name or _exists(name)


def _exists(name: str) -> bool:
    try:
        return Path(name).expanduser().exists()
    except (OSError, RuntimeError):  # too long for the system; a home that is not known
        return False


def _from_plugin(name: str, dtype: str) -> Located:
    from customize.plugins import load_offer

    # Whatever a plugin names; a ModelSource by contract.
    target: Any = load_offer(_offer_named(name))
    return Located(target().fetch(dtype), name)


def _offer_named(name: str) -> Offer:
    from customize.plugins import find

    try:
        return find("model", name)
    except UnknownName as error:
        raise UnknownName(
            f"{name!r} is no folder or .gguf file here and no hub id (owner/model), and {error}"
        ) from error


def _from_disk(path: Path, dtype: str) -> Located:
    path = path.absolute()
    _check_disk(path)
    if path.suffix.lower() == ".gguf":
        return Located(_convert(path, dtype), path.stem)
    return Located(path, path.name)


def _check_disk(path: Path) -> None:
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise ModelError(f"there is no file {path}")
        return
    if not path.is_dir():
        raise ModelError(
            f"{path} is no folder of a model"
            + ("" if path.exists() else " (it does not exist)")
            + "; give a folder with config.json, a .gguf file, or a hub id (owner/model)"
        )
    if not (path / "config.json").is_file():
        raise ModelError(f"{path} is no folder of a model: it has no config.json")


def _convert(gguf: Path, dtype: str) -> Path:
    try:
        plugin = importlib.import_module("customize_gguf")
    except ImportError as error:
        raise MissingDependency(
            f"{gguf.name} is a GGUF file, which needs a plugin: pip install customize-gguf"
        ) from error
    name = re.sub(r"[^A-Za-z0-9_.\-]", "_", gguf.stem).lstrip(".") or "model"
    key = f"{name}-{dtype}-{file_hash(gguf)[:16]}-{_CONVERSION}"
    return made_once("models", key, lambda folder: plugin.convert(gguf, folder, dtype))
