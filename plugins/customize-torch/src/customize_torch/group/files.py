"""Files of a folder: sent to others, and folders told apart by them. Knows no order."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from customize_torch.group.parcel import Array

_PLACES, _BLOCK = 64, 4096  # of a file, by which it is told from another of its size


def write_files(folder: Path, contents: Mapping[str, Array]) -> None:
    """What ``files_of`` gave, in another folder."""
    for name, content in contents.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.tobytes())


def files_of(folder: Path) -> dict[str, Array]:
    """Every file's bytes, by its path from the folder."""
    return {
        file.relative_to(folder).as_posix(): np.fromfile(file, np.uint8)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def sketch(folder: Path) -> str:
    """sha256 over the names, sizes and some places of a folder's files: quick, and tells models
    apart.
    """
    found = hashlib.sha256()
    for file in sorted(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors")):
        size = file.stat().st_size
        found.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as stream:
            for place in range(_PLACES):
                stream.seek(size * place // _PLACES)
                found.update(stream.read(_BLOCK))
    return found.hexdigest()
