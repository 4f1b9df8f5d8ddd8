"""Hostile models: code, pickle, absurd sizes and damaged headers are refused by name."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from customize._errors import ModelError
from customize.models.fingerprints import fingerprint
from customize.models.weights import read_header


def set_config(folder: Path, **keys: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"auto_map": {"AutoModel": "modeling_x.X"}}, "auto_map"),
        ({"text_config": {"auto_map": {"AutoModel": "o/r--x.X"}}}, "auto_map"),
        ({"layers": [{"auto_map": {}}]}, "auto_map"),
        ({"trust_remote_code": True}, "trust_remote_code"),
        ({"custom_generate": "o/r"}, "custom_generate"),
        ({"_attn_implementation_internal": "o/kernel"}, "_attn_implementation_internal"),
        ({"_experts_implementation_internal": "x"}, "_experts_implementation_internal"),
        ({"_attn_implementation": "o/kernel"}, "_attn_implementation"),
        ({"attn_implementation": "o/kernel"}, "attn_implementation"),
        ({"attn_implementation": {"": "o/kernel"}}, "attn_implementation"),
        ({"text_config": {"attn_implementation": "flash_attention_2"}}, "attn_implementation"),
        ({"_unheard_of": 1}, "_unheard_of"),
        ({"kernel_config": {"RMSNorm": "o/r:RMSNorm"}}, "kernel_config"),
        ({"use_kernel": "o/r"}, "use_kernel"),
        ({"quantization_config": {"quant_method": "mine"}}, "'mine'"),
        ({"quantization_config": {"bits": 4}}, "quantizer"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"hidden_size": -1}, "hidden_size"),
        ({"vocab_size": "many"}, "vocab_size"),
        ({"text_config": {"vocab_size": 2**63}}, "vocab_size"),
        ({"model_type": None}, "model_type"),
    ],
)
def test_a_config_that_names_code_or_absurd_sizes_is_refused(
    folder: Path, keys: dict[str, object], named: str
) -> None:
    set_config(folder, **keys)
    with pytest.raises(ModelError, match=named):
        fingerprint(folder)


@pytest.mark.parametrize(
    "keys",
    [
        {"_name_or_path": "o/r", "_attn_implementation_autoset": True},
        {"attn_implementation": "sdpa"},
        {"conv_kernel": [5, 3], "kernel_size": 4},
        {"quantization_config": {"quant_method": "bitsandbytes", "_load_in_4bit": True}},
    ],
)
def test_what_plain_models_say_is_accepted(folder: Path, keys: dict[str, object]) -> None:
    set_config(folder, **keys)
    assert len(fingerprint(folder)) == 64


def test_a_tokenizer_that_names_code_is_refused(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["x.X", null]}}')
    with pytest.raises(ModelError, match=r"tokenizer_config\.json sets 'auto_map'"):
        fingerprint(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"a":' * 40 + "1" + "}" * 40])
def test_a_config_that_is_no_object_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"config\.json"):
        fingerprint(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name.replace(".", r"\.")):
        fingerprint(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "model.pt"])
def test_weights_only_as_pickle_are_refused_with_the_reason(folder: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"\x80\x04")
    with pytest.raises(ModelError, match=f"pickle .{name}.*can run code"):
        fingerprint(folder)


@pytest.mark.parametrize("beside_a_model", [True, False])
def test_an_adapter_is_not_taken_for_a_model(folder: Path, beside_a_model: bool) -> None:
    if not beside_a_model:
        (folder / "model.safetensors").unlink()
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="adapter"):
        fingerprint(folder)


@pytest.mark.parametrize(
    "name", ["../x.safetensors", "/etc/passwd", "x.bin", "", 7, "no.safetensors"]
)
def test_an_index_that_names_other_places_is_refused(folder: Path, name: object) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": name}}))
    with pytest.raises(ModelError, match=r"index\.json names"):
        fingerprint(folder)


def entry(shape: list[Any], offsets: list[Any], dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def packed(header: str | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    raw = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


GOOD = {"a": entry([2], [0, 8]), "b": entry([1], [8, 12])}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        packed("{}", length=2**63),
        packed("{}", length=100),
        packed("{", b"x"),
        packed("[]"),
        packed(b"\xff\xfe"),
        packed('{"a":' * 50_000),
        packed('{"a": 1, "a": 2}'),
        packed(json.dumps({"a": entry([2], [0, 8])}), bytes(4)),
        packed(json.dumps({"a": entry([2], [0, 8])}), bytes(12)),
        packed(json.dumps({"a": entry([2], [4, 12])}), bytes(12)),
        packed(json.dumps({"a": entry([2], [0, 8]), "b": entry([2], [4, 12])}), bytes(12)),
        packed(json.dumps({"a": entry([2], [8, 0])}), bytes(8)),
        packed(json.dumps({"a": entry([-2], [0, 8])}), bytes(8)),
        packed(json.dumps({"a": entry([True, 2], [0, 8])}), bytes(8)),
        packed(json.dumps({"a": entry([0, 2**63 - 1], [0, 0])})),
        packed(json.dumps({"a": entry([2**62, 8], [0, 8])}), bytes(8)),
        packed(json.dumps({"a": entry([1] * 9, [0, 4])}), bytes(4)),
        packed(json.dumps({"a": entry([2], [0, 8], "PICKLE")}), bytes(8)),
        packed(json.dumps({"a": entry([2], [0, 8], ["F32"])}), bytes(8)),
        packed(json.dumps({"a": [1]}), bytes(8)),
        packed(json.dumps({"../../etc/x": entry([2], [0, 8])}), bytes(8)),
        packed(json.dumps({"a..b": entry([2], [0, 8])}), bytes(8)),
        packed(json.dumps({"a\0b": entry([2], [0, 8])}), bytes(8)),
        packed(json.dumps({"a\u202eb": entry([2], [0, 8])}), bytes(8)),
        packed(json.dumps({f"t{i}": entry([0], [0, 0]) for i in range(100_001)})),
    ],
)
def test_hostile_safetensors_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelError, match="damaged or hostile"):
        read_header(path)


def test_a_good_header_reads_as_written(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(packed(json.dumps(GOOD | {"__metadata__": {"format": "pt"}}), bytes(12)))
    first, second = read_header(path)
    assert (first.name, first.shape, first.end - first.start) == ("a", (2,), 8)
    assert (second.name, second.start, second.end) == ("b", first.end, path.stat().st_size)
