"""The assistant of a package: put there, and its documents swapped. Trains nothing.

Its folder is named for what is in it, and ``package.json`` is replaced last: whatever stops an
update leaves a package that opens, with the documents it had or with the new ones.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import attrs

from customize._errors import ExportError
from customize._files import replace_text, sync, sync_all, writing
from customize.data.rendering import ChatRenderer
from customize.interfaces.index import Encoder
from customize.packaging.manifest import MANIFEST, PACKAGED, SIGNATURE, Manifest, hashes_of
from customize.packaging.opening import read_sound
from customize.packaging.writing import folder_beside
from customize.retrieval.building import Indexed, OnSensitive, Report, update_index
from customize.retrieval.documents.reading import TIMEOUT_S, OnUnreadable
from customize.retrieval.documents.reading import Source as Documents
from customize.retrieval.index_folder import forget_options, read_facts
from customize.runs.assistant import (
    INDEX,
    AssistantFacts,
    encoder_for,
    packaged_assistant,
)
from customize.runs.folder import folder_fingerprint
from customize.training import sealed


def pack_assistant(kept: Path, package: Path) -> None:
    """Copy a run's assistant into a package whose tokenizer and template are there already."""
    beside = package / PACKAGED
    shutil.copytree(kept, beside, ignore=shutil.ignore_patterns(sealed.MANIFEST))
    facts = AssistantFacts.read(beside)
    forget_options(beside / INDEX)
    own = ChatRenderer.from_folder(package).fingerprint
    attrs.evolve(facts, renderers=[*facts.renderers, own]).write(beside)
    beside.rename(package / _named(beside))


def update_package(
    package: str | Path,
    source: Documents,
    encoder: Encoder | str | None = None,
    on_unreadable: OnUnreadable = "refuse",
    on_sensitive: OnSensitive = "tell",
    timeout_s: float = TIMEOUT_S,
    report: Report | None = None,
) -> Indexed:
    """Let a package answer from ``source`` as it is now. The rest is as for `update_index`.

    Its weights stay, `verify` passes as before, and a signature, which was of the documents that
    were there, is taken out.

    Raises:
        ExportError: it is no package, is not what was written, or answers from no documents.
        DataError, OptionError: as `update_index`.
    """
    folder = Path(package)
    manifest = read_sound(folder)
    kept = packaged_assistant(folder)
    if kept is None:
        raise ExportError(
            f"{folder} answers from no documents: export a run of a method that does, as rag"
        )
    _clear(folder, kept)
    with (
        writing(str(folder), ExportError),
        folder_beside(folder) as work,
    ):
        made = work / PACKAGED
        shutil.copytree(kept, made)
        made_by = encoder_for(kept, encoder)
        done = update_index(
            made / INDEX, source, made_by, on_unreadable, on_sensitive, timeout_s, report
        )
        facts = AssistantFacts.read(made)
        attrs.evolve(facts, index=read_facts(made / INDEX).fingerprint).write(made)
        place = folder / _named(made)
        if place != kept:
            sync_all(made)
            made.rename(place)
            sync(folder)
            _commit(folder, manifest, place)
    return attrs.evolve(done, folder=folder)


def _commit(folder: Path, manifest: Manifest, place: Path) -> None:
    """Let the manifest name the new folder in place of the others, which go then."""
    files = {n: h for n, h in manifest.files.items() if not _is_assistants(n)}
    sizes = {n: s for n, s in manifest.sizes.items() if not _is_assistants(n)}
    new = {f"{place.name}/{name}": digest for name, digest in hashes_of(place).items()}
    told = attrs.evolve(
        manifest,
        files=files | new,
        sizes=sizes | {name: (folder / name).stat().st_size for name in new},
    )
    replace_text(folder / MANIFEST, told.text())
    (folder / SIGNATURE).unlink(missing_ok=True)
    _clear(folder, place)


def _clear(folder: Path, kept: Path) -> None:
    """Take away what an update that was stopped left, or replaced."""
    for other in folder.glob(f"{PACKAGED}*"):
        if other != kept:
            shutil.rmtree(other)


def _is_assistants(name: str) -> bool:
    return name.startswith(PACKAGED)


def _named(folder: Path) -> str:
    return f"{PACKAGED}{folder_fingerprint(folder)[:12]}"
