"""Fingerprints: which model exactly this is. Knows nothing of where it came from."""

from __future__ import annotations

import hashlib
import json
import mmap
from pathlib import Path

from customize._errors import ModelError
from customize.models.cache import remembered
from customize.models.trust import Json, checked_config
from customize.models.weights import read_header, weight_files

# What a loader writes of itself and where it found the model: not what the model is.
_INCIDENTAL = {"_name_or_path", "_commit_hash", "transformers_version"}


def fingerprint(folder: Path) -> str:
    """sha256 over configuration, tokenizer and each tensor; at once where nothing has changed.

    Independent of how tensors are cut into files, and of the JSON's spelling.

    Raises:
        ModelError: a file of the model is missing, damaged or refused.
    """
    config = checked_config(folder)
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise ModelError(
            f"{folder} has no tokenizer.json; save the model's tokenizer there with "
            "transformers: AutoTokenizer.from_pretrained(...).save_pretrained(...)"
        )
    weights = weight_files(folder)
    return remembered(
        "fingerprint 1",
        [folder / "config.json", tokenizer, *weights],
        lambda: _compute(config, tokenizer, weights),
    )


def _compute(config: Json, tokenizer: Path, weights: list[Path]) -> str:
    tensors: dict[str, str] = {}
    for path in weights:
        found = tensor_hashes(path)
        if repeated := tensors.keys() & found.keys():
            raise ModelError(f"{path}: tensor {min(repeated)!r} is in another file too")
        tensors |= found
    if not tensors:
        raise ModelError(f"{weights[0].parent} holds no tensors")
    said = {
        "config": {key: value for key, value in config.items() if key not in _INCIDENTAL},
        "tokenizer": hashlib.sha256(tokenizer.read_bytes()).hexdigest(),
        "tensors": tensors,
    }
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def tensor_hashes(path: Path) -> dict[str, str]:
    """sha256 of each tensor's type, shape and bytes, by name."""
    tensors = read_header(path)
    hashes: dict[str, str] = {}
    with (
        path.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as view,
    ):
        for tensor in tensors:
            digest = hashlib.sha256(f"{tensor.dtype}{list(tensor.shape)}\0".encode())
            with view[tensor.start : tensor.end] as data:
                digest.update(data)
            hashes[tensor.name] = digest.hexdigest()
    return hashes


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes; at once where it has not changed.

    Raises:
        ModelError: it cannot be read.
    """

    def compute() -> str:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    try:
        return remembered("file 1", [path], compute)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror})") from error
