"""How weights are kept: 16 bits bit for bit, blocks within half a step, one table for two uses."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_decoders import export, plain, write_model

from customize import ExportError
from customize_onnx import Generator
from customize_onnx.quantizing import quantize
from customize_onnx.tensors import read_model

TOKENS = np.random.default_rng(1).integers(1, 250, 40)


@pytest.mark.parametrize("bits", [8, 4])
def test_a_block_is_within_half_a_step_of_what_it_was(bits: int) -> None:
    weight_NK = np.random.default_rng(0).normal(0, 1, (5, 80)).astype(np.float32)
    weight_NK[2, 32:64] = 0
    numbers, scales = quantize(weight_NK, bits)
    assert numbers.shape == (5, 3, 32 * bits // 8)
    for row, column in itertools.product(range(5), range(80)):
        block, place = divmod(column, 32)
        if bits == 8:
            number = int(numbers[row, block, place]) - 128
        else:
            number = (int(numbers[row, block, place // 2]) >> (4 * (place % 2)) & 15) - 8
        step = abs(float(scales[row, block]))
        away = abs(number * float(scales[row, block]) - float(weight_NK[row, column]))
        # In 4 bits there is no +8: what is nearly as large as the largest is cut to 7.
        assert away <= step * (0.5001 if bits == 8 else 1.0001)


def test_bfloat16_is_read_as_torch_reads_it(tmp_path: Path) -> None:
    write_model(tmp_path, "llama", "bfloat16")
    wanted = load_file(tmp_path / "model.safetensors")
    found = read_model(tmp_path)
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        np.testing.assert_array_equal(found[name].floats(), tensor.float().numpy())


def test_weights_of_several_files_are_read(tmp_path: Path) -> None:
    write_model(tmp_path / "one", "llama")
    model = plain_folder(tmp_path / "one")
    model.save_pretrained(tmp_path / "many", max_shard_size="20KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 2
    one, many = read_model(tmp_path / "one"), read_model(tmp_path / "many")
    assert one.keys() == many.keys()
    for name in one:
        np.testing.assert_array_equal(one[name].floats(), many[name].floats())


def plain_folder(folder: Path) -> torch.nn.Module:
    from transformers import AutoModelForCausalLM

    model: torch.nn.Module = AutoModelForCausalLM.from_pretrained(folder)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_base_in_16_bits_loses_nothing(dtype: str, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "qwen2", dtype)
    generator = Generator(export(model, tmp_path / "out"), threads=1)
    np.testing.assert_allclose(generator.logprobs(TOKENS, 1), wanted(model), atol=1e-4)
    generator.close()


def wanted(model: object) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    with torch.no_grad():
        logits = plain(model)(torch.from_numpy(TOKENS)[None]).logits[0, :-1]  # type: ignore[arg-type]
    found: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = logits.log_softmax(-1).numpy()
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("weights", "away"), [("float16", 0.02), ("int8", 0.4), ("int4", 4.0)])
@pytest.mark.parametrize("kind", ["llama", "llama, tied", "phi3"])
def test_fewer_bits_answer_nearly_as_float32(
    kind: str, weights: str, away: float, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "model", kind)
    generator = Generator(export(model, tmp_path / "out", weights=weights), threads=1)
    found = generator.logprobs(TOKENS, 1)
    generator.close()
    difference = np.abs(np.exp(found) * (found - wanted(model))).sum(-1).mean()
    assert 0 < difference < away


@pytest.mark.parametrize("weights", ["float32", "float16", "int8"])
def test_embedding_and_head_are_one_table(weights: str, tmp_path: Path) -> None:
    sizes = {}
    for kind in ("llama", "llama, tied"):
        model = write_model(tmp_path / kind, kind)
        out = export(model, tmp_path / f"{kind}.out", weights=weights)
        sizes[kind] = (out / "model.onnx.data").stat().st_size
    table = 260 * 64 * {"float32": 4, "float16": 2, "int8": 1}[weights]
    assert sizes["llama"] - sizes["llama, tied"] >= table


def test_what_16_bits_do_not_hold_is_refused(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "llama")
    file = model.path / "model.safetensors"
    tensors = load_file(file)
    name = "model.layers.1.mlp.up_proj.weight"
    tensors[name] = tensors[name].clone()
    tensors[name][0, 0] = 1e5
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ExportError, match=f"{name} has the value 100000"):
        export(model, tmp_path / "out")


def test_a_tensor_that_is_missing_or_of_another_shape_is_named(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "llama")
    file = model.path / "model.safetensors"
    tensors = load_file(file)
    name = "model.layers.1.mlp.up_proj.weight"
    save_file({**tensors, name: torch.ones(3, 3)}, file, metadata={"format": "pt"})
    with pytest.raises(ExportError, match=rf"{name} as \[3, 3\] where .* \[96, 64\]"):
        export(model, tmp_path / "one")
    del tensors[name]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ExportError, match=f"lacks {name}"):
        export(model, tmp_path / "two")
