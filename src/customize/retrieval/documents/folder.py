"""The files of a folder of documents, and who may see them. Reads none but ``access.yaml``."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from customize._errors import DataError
from customize.retrieval.documents.access import NAME, read_access, tags_by_file


@attrs.frozen
class File:
    """id: its path within the folder, with slashes."""

    id: str
    path: Path
    tags: frozenset[str]

    @property
    def suffix(self) -> str:
        return self.path.suffix.lower()

    @property
    def is_folder(self) -> bool:
        """Whether it is a link to one."""
        return self.path.is_dir()


def files_of(folder: Path) -> list[File]:
    """Every file and linked folder in it and in its folders, by id.

    What begins with a dot is passed over.

    Raises:
        DataError: it is no folder that can be read, or its ``access.yaml`` is wrong.
    """
    paths = {path.relative_to(folder).as_posix(): path for path in _walk(folder)}
    paths.pop(NAME, None)
    tags = tags_by_file(read_access(folder), paths, folder)
    return [File(id, paths[id], tags[id]) for id in sorted(paths)]


def fault_of(file: File, folder: Path) -> str | None:
    """Why a file is not to be opened at all, or None."""
    if not file.path.resolve().is_relative_to(folder.resolve()):
        return "it is a link out of the folder: copy there what it points to"
    if file.is_folder:
        return "it is a link to a folder, which is not followed: copy there what it points to"
    if not file.path.is_file():
        return "it is no file"
    return None


def _walk(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error

    found = []
    for where, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        linked = [name for name in folders if Path(where, name).is_symlink()]
        names = [name for name in names if not name.startswith(".")]
        found += [Path(where, name) for name in (*names, *linked)]
    return found
