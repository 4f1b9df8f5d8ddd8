"""What a graph is made of, and that it is made without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from tiny_decoders import KINDS, export, write_adapter, write_model

LAYERS = 3


def graph_of(package: Path) -> Any:  # onnx has no types
    return onnx.load(package / "model.onnx", load_external_data=False).graph


def test_it_is_of_onnxruntimes_own_operators(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "llama")
    nodes = list(graph_of(export(model, tmp_path / "out", weights="int8")).node)
    kinds = [node.op_type for node in nodes]
    assert kinds.count("GroupQueryAttention") == LAYERS
    assert kinds.count("SkipSimplifiedLayerNormalization") == 2 * LAYERS
    assert kinds.count("MatMulNBits") == 4 * LAYERS + 1  # qkv, o, gate_up and down; the head
    turned = {a.i for node in nodes for a in node.attribute if a.name == "do_rotary"}
    assert turned == {1}
    levels = {a.i for node in nodes for a in node.attribute if a.name == "accuracy_level"}
    assert levels == {4}


@pytest.mark.parametrize("kind", KINDS)
def test_every_product_but_the_head_takes_an_adapter_and_has_none(
    kind: str, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "model", kind)
    graph = graph_of(export(model, tmp_path / "out"))
    taken = {given.name for given in graph.input if ".lora_" in given.name}
    unless_given = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    layers = LAYERS - (kind == "llama, long")
    assert len(taken) == 2 * 4 * layers
    assert all(0 in unless_given[name] for name in taken)


def test_rows_new_tokens_and_the_cache_may_have_any_length(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "llama")
    graph = graph_of(export(model, tmp_path / "out"))
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes["input_ids"] == ["rows", "new"]
    for number in range(LAYERS):
        for part in ("key", "value"):
            assert shapes[f"past_key_values.{number}.{part}"] == ["rows", 2, "past", 16]
            assert shapes[f"present.{number}.{part}"] == ["rows", 2, "all", 16]


@pytest.mark.parametrize("merged", [False, True])
def test_neither_torch_nor_transformers_is_imported_to_export(merged: bool, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "llama", "bfloat16")
    peft = write_adapter(tmp_path / "peft", model, seed=1, rank=4)
    (tmp_path / "out").mkdir()
    code = f"""
import sys
from pathlib import Path
from customize import ChatRenderer, Exportable, ModelFolder
from customize_onnx.exporter import ONNX
folder = Path({str(model.path)!r})
model = ModelFolder(folder, "tiny", "tiny")
source = Exportable("a", model, Path({str(peft)!r}), ChatRenderer.from_folder(folder))
exporter = ONNX(merged={merged})
exporter.check(source)
exporter.write(source, Path({str(tmp_path / "out")!r}))
print({{"torch", "transformers", "peft"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
    assert (tmp_path / "out" / "model.onnx").is_file()
    assert (tmp_path / "out" / "adapters" / "a.onnx_adapter").is_file() != merged
