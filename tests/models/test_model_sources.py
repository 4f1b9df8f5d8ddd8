"""resolve(): names, folders, GGUF files and hub ids, and what is said of those that are not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from customize._errors import ModelError, OptionError, UnknownName
from customize.models import resolve
from customize.models.fingerprints import tensor_hashes


def test_a_local_folder_is_taken_by_path_and_by_string(folder: Path) -> None:
    found = resolve(folder)
    assert found == resolve(str(folder))
    assert (found.path, found.name, found.revision) == (folder, "model", None)


def test_a_resolved_model_is_returned_as_it_is(folder: Path) -> None:
    found = resolve(folder)
    assert resolve(found) is found


def test_a_tensors_hash_is_that_of_its_type_shape_and_bytes(folder: Path) -> None:
    hashes = tensor_hashes(folder / "model.safetensors")
    ones = np.ones(8, dtype="<f2").tobytes()
    assert hashes["model.norm.weight"] == hashlib.sha256(b"F16[8]\0" + ones).hexdigest()


def test_the_fingerprint_is_that_of_the_model_and_not_of_its_files(folder: Path) -> None:
    before = resolve(folder).fingerprint
    config = json.loads((folder / "config.json").read_text())
    spelt_otherwise = dict(reversed(config.items())) | {"transformers_version": "9"}
    (folder / "config.json").write_text(json.dumps(spelt_otherwise, indent=8))
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    shards = {name: f"model-{i}.safetensors" for i, name in enumerate(tensors)}
    for name, shard in shards.items():
        save_file({name: tensors[name]}, folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert resolve(folder).fingerprint == before


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_the_fingerprint_changes_with_each_part(folder: Path, name: str) -> None:
    before = resolve(folder).fingerprint
    if name == "config.json":
        config = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(config | {"rope_theta": 5.0}))
    elif name == "tokenizer.json":
        (folder / name).write_text('{"version": "1.1"}')
    else:
        data = bytearray((folder / name).read_bytes())
        data[-1] ^= 1
        (folder / name).write_bytes(data)
    assert resolve(folder).fingerprint != before


def test_a_folder_needs_no_writable_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(folder / "config.json" / "cache"))
    assert resolve(folder).path == folder


def test_an_unknown_name_says_what_a_model_may_be() -> None:
    with pytest.raises(UnknownName, match="owner/model"):
        resolve("smolm2-which-is-nothing")


@pytest.mark.parametrize("given", ["no/such/folder/here", "./no", "x.gguf", "a/x.gguf", "x" * 5000])
def test_what_is_not_there_is_named(given: str) -> None:
    with pytest.raises((ModelError, UnknownName), match=given[-8:]):
        resolve(given)


def test_a_revision_is_refused_where_there_is_none(folder: Path) -> None:
    with pytest.raises(OptionError, match="revision"):
        resolve(folder, revision="main")


def test_an_unknown_dtype_is_refused(folder: Path) -> None:
    with pytest.raises(OptionError, match="bfloat16, float32"):
        resolve(folder, dtype="int4")
