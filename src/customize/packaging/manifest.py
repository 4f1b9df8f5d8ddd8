"""package.json: what a package is and what is in it. Knows no format, and runs nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import attrs

from customize._errors import ExportError, OptionError
from customize._structuring import coerce

MANIFEST = "package.json"
SIGNATURE = "model.sig"
CARD = "README.md"
PACKAGED = "assistant-"  # and a hash of what is in it: a folder, and another beside of an update
SCHEMA = 1
_RECIPE = "recipe.json"  # of a run's folder
_SMALL = 16 << 20  # bytes that are hashed in no time a person notices
_AGAIN = "; export the run again, or fetch the package again"


def _ints(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Manifest:
    """package.json's values.

    format: the exporter's full name, which says who can load it. precision: how weights are kept.
    name: what the customization is called. needs_base: it holds an adapter alone.
    base: name, fingerprint and revision. weights: fingerprint of what was trained: an adapter, or
    all weights where is_adapter is not true. stop_tokens: ids at which every answer ends.
    parity: verdict, limits and figures of the gate, and what was measured of its speed.
    how_to_run: commands by who runs them, with ``{folder}`` and ``{base}`` for where both are.
    run: what `customize reproduce` goes by. files: sha256 by path, and sizes: their bytes.
    holds_adapter: whether its runtime has the adapter apart from the weights; None in packages of
    before that was written down.
    """

    format: str
    precision: str
    name: str
    needs_base: bool
    base: Mapping[str, Any]
    weights: str
    is_adapter: bool
    stop_tokens: tuple[int, ...] = attrs.field(converter=_ints)
    options: Mapping[str, Any]
    parity: Mapping[str, Any]
    how_to_run: Mapping[str, str]
    run: Mapping[str, Any]
    files: Mapping[str, str]
    sizes: Mapping[str, int] = attrs.field(factory=dict)
    holds_adapter: bool | None = None
    schema: int = SCHEMA

    @property
    def shares_base(self) -> bool:
        """Whether others of its base can be asked beside it: not of merged or whole weights."""
        if self.holds_adapter is not None:
            return self.holds_adapter
        return self.is_adapter and not self.options.get("merged", False)

    def check_beside(self, other: Manifest, name: str) -> None:
        """Whether the adapter of ``other``, called ``name``, can be asked beside this package.

        Raises:
            ExportError: they are not of one format and one base, one holds no adapter apart, they
                keep weights otherwise, or write conversations otherwise.
        """
        if self.format != other.format:
            raise ExportError(
                f"{name} is of the format {other.format}, and {self.name} of {self.format}: "
                "packages that share a base share its format"
            )
        if self.base["fingerprint"] != other.base["fingerprint"] or not other.shares_base:
            raise ExportError(f"{name} is no adapter of the base of {self.name}: open it by itself")
        if not self.shares_base:
            raise ExportError(
                f"the weights of {self.name} are merged or whole, and {name} was made for the base "
                "without them: open each by itself"
            )
        if self.precision != other.precision:
            raise ExportError(
                f"{name} was proven on weights kept as {other.precision}, and those of {self.name} "
                f"are kept as {self.precision}: export one of them again as the other is, or open "
                "each by itself"
            )
        if not self._writes_as(other):
            raise ExportError(
                f"{name} writes conversations otherwise than {self.name}: its chat template, its "
                "special or its stop tokens are other ones, and a runtime has one of each. Open "
                "each by itself"
            )

    def _writes_as(self, other: Manifest) -> bool:
        """Packages of before the chat was written down say their stop tokens alone."""
        ours, theirs = self.run.get("chat"), other.run.get("chat")
        is_known = ours is not None and theirs is not None
        return (ours == theirs or not is_known) and {*self.stop_tokens} == {*other.stop_tokens}

    def commands(self, folder: str, base: str) -> dict[str, str]:
        """``how_to_run`` for a package in ``folder``, whose base is in ``base``."""
        return {
            who: how.replace("{folder}", folder).replace("{base}", base)
            for who, how in self.how_to_run.items()
        }

    def text(self) -> str:
        """What the file says."""
        return json.dumps(attrs.asdict(self), ensure_ascii=False, indent=1) + "\n"

    def write(self, folder: Path) -> None:
        """Write it into the package."""
        (folder / MANIFEST).write_text(self.text(), "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """That of a package.

        Raises:
            ExportError: there is none, it is damaged, or of a later version.
        """
        file = folder / MANIFEST
        if (folder / _RECIPE).is_file():
            raise ExportError(
                f"{folder} is a run and no package: make one with customize export {folder} FORM "
                "--to FOLDER"
            )
        if not file.is_file():
            raise ExportError(f"{folder} is no package: it has no {MANIFEST}")
        try:
            told = json.loads(file.read_text("utf-8"))
            schema = told["schema"]
        except (ValueError, KeyError, TypeError) as error:
            raise ExportError(f"{file} is damaged: it is no manifest in JSON{_AGAIN}") from error
        if schema != SCHEMA:
            raise ExportError(
                f"{file} has the schema {schema}, and this version of customize reads "
                f"{SCHEMA}: use the version that wrote it, or export the run again"
            )
        if fault := _fault_of_form(told):
            raise ExportError(f"{file} is damaged: {fault}{_AGAIN}")
        return cls(**told)


def _fault_of_form(told: dict[str, Any]) -> str | None:
    """What keeps these values from being a manifest."""
    hints = get_type_hints(Manifest)
    needed = {field.name for field in attrs.fields(Manifest) if field.default is attrs.NOTHING}
    if missing := sorted(needed - told.keys()):
        return f"{missing[0]} is missing"
    if unknown := sorted(told.keys() - hints.keys()):
        return f"the key {unknown[0]!r} is none of a manifest"
    for name, value in told.items():
        try:
            coerce(value, hints[name])
        except OptionError as error:
            return f"{name} {error}"
    if missing := sorted({"name", "fingerprint", "revision"} - told["base"].keys()):
        return f"base.{missing[0]} is missing"
    return None


def hashes_of(folder: Path) -> dict[str, str]:
    """sha256 of every file but the manifest and a signature, by its path from the folder.

    Raises:
        ExportError: there is something other than plain files and folders.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ExportError(f"{path} is no plain file: a package holds nothing else")
        if path.is_file() and name not in (MANIFEST, SIGNATURE):
            found[name] = _hash_of(path)
    return found


def _hash_of(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_small(folder: Path, manifest: Manifest) -> None:
    """Whether small files are as they were written, large ones as long, and no other is there.

    The card is left out: people edit it. While a package is written, when a runtime opens it for
    the gate, its manifest names no file yet.

    Raises:
        ExportError: one is not, or another is there.
    """
    if manifest.files and (added := _added(folder, manifest)):
        raise ExportError(
            f"{folder} is not what was written: {added} was added. Take it out; all of it is "
            f"looked at by customize verify {folder}"
        )
    for name in sorted(manifest.files.keys() - {CARD}):
        digest, size = manifest.files[name], manifest.sizes.get(name)
        if fault := _fault_of_file(folder / name, digest, size):
            raise ExportError(
                f"{folder} is not what was written: {name} {fault}. All of it is looked at by "
                f"customize verify {folder}{_AGAIN}"
            )


def _added(folder: Path, manifest: Manifest) -> str | None:
    """A file that the manifest does not name, of those that a runtime may look for.

    Hidden ones, as git and downloads leave them, are none, nor is what an update of the documents
    that was stopped left.
    """
    named = {*manifest.files, MANIFEST, SIGNATURE, CARD}
    there = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return min((n for n in there if n not in named and not _is_let_be(n)), default=None)


def _is_let_be(name: str) -> bool:
    return name.startswith(PACKAGED) or any(part.startswith(".") for part in name.split("/"))


def _fault_of_file(file: Path, digest: str, size: int | None) -> str | None:
    if not file.is_file():
        return "is missing"
    there = file.stat().st_size
    if size is not None and there != size:
        return f"has {there:,} bytes, and had {size:,}"
    return "was changed" if there <= _SMALL and _hash_of(file) != digest else None


def damage(folder: Path, manifest: Manifest) -> str | None:
    """What differs from what the manifest says of the files, naming the first, or None.

    The card may be edited: a signature is what covers it.
    """
    there = hashes_of(folder)
    for name, digest in manifest.files.items():
        if name not in there:
            return f"{name} is missing"
        if there[name] != digest and name != CARD:
            return f"{name} was changed"
    extra = sorted(there.keys() - manifest.files.keys())
    return f"{extra[0]} was added" if extra else None
