"""What a graph is made of, what of it is executed, and that it is made without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
from tiny_decoders import KINDS, export, write_adapter, write_model

from customize import Query, Sampling
from customize_onnx import Generator

LAYERS = 3
PRODUCTS = 4 * LAYERS  # qkv, o, gate_up and down


def graph_of(package: Path) -> Any:  # onnx has no types
    return onnx.load(package / "model.onnx", load_external_data=False).graph


def test_it_is_of_onnxruntimes_own_operators(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "llama")
    nodes = list(graph_of(export(model, tmp_path / "out", weights="int8")).node)
    kinds = [node.op_type for node in nodes]
    assert kinds.count("GroupQueryAttention") == LAYERS
    assert kinds.count("SkipSimplifiedLayerNormalization") == 2 * LAYERS
    assert kinds.count("MatMulNBits") == PRODUCTS + 1  # the head
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


@pytest.fixture
def profiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every session writes down what it executes."""
    plain = onnxruntime.SessionOptions

    def profiling() -> onnxruntime.SessionOptions:
        options = plain()
        options.enable_profiling = True
        options.profile_file_prefix = str(tmp_path / "profile")
        return options

    monkeypatch.setattr(onnxruntime, "SessionOptions", profiling)


def executed(package: Path, adapter: str | None = None) -> Counter[str]:
    """How many nodes of each kind a prompt of one token takes."""
    generator = Generator(package, threads=1)
    one = Sampling(max_tokens=1, temperature=0.0, stop_tokens=())
    assert [*generator.stream(Query([5], one, adapter=adapter))]
    program = generator._program
    asked = program._of_base() if adapter is None else program._session
    events = json.loads(Path(asked.end_profiling()).read_text("utf-8"))
    generator.close()
    return Counter(one["args"]["op_name"] for one in events if "kernel_time" in one["name"])


@pytest.mark.parametrize("weights", ["float32", "float16", "int8"])
@pytest.mark.usefixtures("profiled")
def test_a_product_takes_two_nodes_more_for_an_adapter_and_none_without(
    weights: str, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "model", "llama")
    peft = write_adapter(tmp_path / "peft", model, seed=1, rank=4)
    whole = executed(export(model, tmp_path / "whole", weights=weights))
    merged = executed(export(model, tmp_path / "merged", peft, weights=weights, merged=True))
    beside = export(model, tmp_path / "beside", peft, "mine", weights=weights)
    kind = "MatMulNBits" if weights == "int8" else "FusedMatMul"
    assert whole[kind] == PRODUCTS + 1
    assert merged == whole
    more = {"MatMul": PRODUCTS, "Gemm": PRODUCTS}
    assert executed(beside, "mine") - whole == more
    # Beside whole weights these nodes cost nothing that shows, and a second graph is not loaded.
    assert executed(beside) - whole == ({} if weights == "int8" else more)


def test_the_one_graph_that_is_opened_is_the_one_that_other_runtimes_are_told_of(
    tmp_path: Path,
) -> None:
    model = write_model(tmp_path / "model", "llama")
    peft = write_adapter(tmp_path / "peft", model, seed=1, rank=4)
    packages = {
        export(model, tmp_path / "beside", peft): "model.onnx",
        export(model, tmp_path / "merged", peft, merged=True): "plain.onnx",
        export(model, tmp_path / "whole"): "plain.onnx",
    }
    for package, graph in packages.items():
        told = json.loads((package / "genai_config.json").read_text("utf-8"))
        assert told["model"]["decoder"]["filename"] == graph
        generator = Generator(package, threads=1)
        assert Path(generator._program._session._model_path).name == graph
        generator.close()


def test_the_graph_without_inputs_for_adapters_is_small_beside_its_weights(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "llama, long")
    package = export(model, tmp_path / "out", weights="int8")
    cosines = 1024 * 8 * 4
    assert (package / "plain.onnx").stat().st_size < (package / "model.onnx").stat().st_size
    assert (package / "model.onnx").stat().st_size < cosines


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
