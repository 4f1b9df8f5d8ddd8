"""From a name and a kind to a folder. Knows the template's names, and nothing of its code."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from customize._errors import OptionError
from customize.plugins.specs import KINDS as _SPECS
from customize.scaffold.naming import Names

_TEMPLATE = Path(__file__).parent / "template"
KINDS = tuple(kind for kind in _SPECS if (_TEMPLATE / kind).is_dir())
# The template is the distribution acme-example, which offers the class Example as example.
_OURS = re.compile(r"\b(acme-example|acme_example|Example|example)\b")


def new_plugin(name: str, kind: str, within: Path) -> Path:
    """Make the distribution ``name`` with one plugin of ``kind``, as a folder in ``within``.

    Raises:
        OptionError: the name is no name, is taken, or the folder is there already.
    """
    names = Names(name)
    to = within / name
    if to.exists():
        raise OptionError(f"{to} exists: nothing is overwritten; take another name, or move it")
    names.check_free(kind)
    with tempfile.TemporaryDirectory(dir=within, prefix=f".{name}.") as work:
        made = Path(work) / name
        for part in ("common", kind):
            _copy(_TEMPLATE / part, made, names)
        if kind == "model":
            _write_weights(made / "src" / names.package / "weights")
        made.rename(to)
    return to


def _copy(source: Path, to: Path, names: Names) -> None:
    for file in _files(source):
        target = to / _renamed(file.relative_to(source).as_posix(), names)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_renamed(file.read_text("utf-8"), names), "utf-8")


def _files(folder: Path) -> Iterator[Path]:
    """Without the bytecode that an installer puts beside Python files."""
    return (p for p in sorted(folder.rglob("*")) if p.is_file() and p.parent.name != "__pycache__")


def _renamed(text: str, names: Names) -> str:
    new = {
        "acme-example": names.distribution,
        "acme_example": names.package,
        "Example": names.class_name,
        "example": names.offered,
    }
    return _OURS.sub(lambda found: new[found[0]], text)


def _write_weights(folder: Path) -> None:
    """A model's weights are no text to copy; these are random, for the author to replace."""
    from customize.testing import write_tiny_model

    write_tiny_model(folder)
