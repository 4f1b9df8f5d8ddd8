"""The llama family by our own decoder: the numbers of transformers, and without it."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from customize import AdamW, Batch, CrossEntropy, Full, LoRA, ModelError, ModelFolder, Session
from customize_torch import llama, loading
from customize_torch.backend import CPU
from customize_torch.elementwise import rms_norm, rotate, swiglu
from customize_torch.session import TorchSession

PLAIN: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 260,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "rope_theta": 10_000.0,
}


def opened(model: ModelFolder, adapter: LoRA | Full) -> TorchSession:
    session = CPU(dtype="float32", token_budget=64).load(model).open(adapter, seed=3)
    assert isinstance(session, TorchSession)
    return session


def trained(session: TorchSession, batch: Batch) -> dict[str, Tensor]:
    for _ in range(3):
        session.forward_backward(batch, CrossEntropy())
        session.optim_step(AdamW(lr=1e-3)).result()
    return dict(session.policy.tensors)


@pytest.mark.parametrize("adapter", [LoRA(rank=4), Full()], ids=["lora", "full"])
def test_it_trains_to_the_weights_that_transformers_trains_to(
    adapter: LoRA | Full, model: ModelFolder, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = opened(model, adapter)
    assert isinstance(own.policy.base.decoder, llama.Decoder)
    monkeypatch.setattr(loading, "_native", lambda model, dtype: None)
    other = opened(model, adapter)
    assert not isinstance(other.policy.base.decoder, llama.Decoder)
    before = own.forward(batch).result()
    np.testing.assert_allclose(before, other.forward(batch).result(), atol=2e-6)
    wanted = trained(other, batch)
    found = trained(own, batch)
    assert found.keys() == wanted.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, wanted[name], atol=2e-5, rtol=1e-4, msg=name)
    assert np.abs(own.forward(batch).result() - before).max() > 1e-2


def test_neither_loading_nor_training_imports_transformers(
    model: ModelFolder, tmp_path: Path
) -> None:
    child = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from customize import AdamW, Batch, CrossEntropy, LoRA, ModelFolder, Prompt, Sampling\n"
        "from customize_torch.backend import CPU\n"
        "engine = CPU(dtype='float32').load(ModelFolder(Path(sys.argv[1]), 'tiny', 'tiny'))\n"
        "session = engine.open(LoRA(rank=2))\n"
        "rows = [(np.arange(9), {'weights': np.ones(9)})]\n"
        "session.forward_backward(Batch.from_sequences(rows), CrossEntropy())\n"
        "session.optim_step(AdamW()).result()\n"
        "session.sample([Prompt(np.arange(4))], Sampling(max_tokens=3)).result()\n"
        "session.save_weights(Path(sys.argv[2]))\n"
        "print([name for name in ('transformers', 'peft') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", child, str(model.path), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "more",
    [
        {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
        {"rope_scaling": {"type": "linear", "factor": 2.0}},
        {"attention_bias": True},
        {"mlp_bias": True},
        {"hidden_act": "gelu"},
        {"quantization_config": {"quant_method": "gptq"}},
        {"model_type": "mistral", "sliding_window": 4096},
        {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 4096},
        {"model_type": "qwen3"},  # its heads' dimension has a default of its own
        {"model_type": "gemma3_text"},
        {"architectures": ["LlamaForSequenceClassification"]},
        {"layer_types": ["sliding_attention", "full_attention"]},
        {"num_key_value_heads": None},
        {"rope_theta": None},
    ],
    ids=str,
)
def test_a_configuration_that_asks_for_more_is_left_to_transformers(more: dict[str, Any]) -> None:
    assert llama.shape_of(PLAIN) is not None
    assert llama.shape_of({**PLAIN, **more}) is None


@pytest.mark.parametrize(
    "more",
    [
        {"architectures": ["LlamaForCausalLM"]},
        {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
        {"model_type": "mistral", "sliding_window": None},
        {"model_type": "qwen2", "use_sliding_window": False, "sliding_window": 4096},
        {"model_type": "qwen3", "head_dim": 16, "layer_types": ["full_attention"] * 2},
    ],
    ids=str,
)
def test_what_both_versions_of_a_plain_configuration_say_is_understood(
    more: dict[str, Any],
) -> None:
    shape = llama.shape_of({**PLAIN, **more})
    assert shape is not None
    assert shape.head_dim == more.get("head_dim", 8)
    assert shape.theta == (5e5 if "rope_parameters" in more else 1e4)


@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
def test_where_no_base_of_rotation_is_told_it_is_that_of_transformers(kind: str) -> None:
    transformers = pytest.importorskip("transformers")
    silent = {key: value for key, value in PLAIN.items() if key != "rope_theta"}
    theirs = transformers.AutoConfig.for_model(kind).rope_parameters["rope_theta"]
    shape = llama.shape_of({**silent, "model_type": kind, "head_dim": 8, "sliding_window": None})
    assert shape is not None
    assert shape.theta == theirs


def changed(model: ModelFolder, folder: Path, edit: Any) -> ModelFolder:
    shutil.copytree(model.path, folder, dirs_exist_ok=True)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    edit(tensors)
    save_file(tensors, file, metadata={"format": "pt"})
    return ModelFolder(folder, "edited", "edited")


def test_a_tensor_of_another_shape_is_refused_by_name(model: ModelFolder, tmp_path: Path) -> None:
    def edit(tensors: dict[str, Tensor]) -> None:
        tensors["model.norm.weight"] = torch.ones(31)

    with pytest.raises(ModelError, match=r"model\.norm\.weight as \[31\] where .* implies \[32\]"):
        CPU(dtype="float32").load(changed(model, tmp_path, edit))


def test_a_tensor_that_nobody_uses_is_told(
    model: ModelFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def edit(tensors: dict[str, Tensor]) -> None:
        tensors["model.extra"] = torch.ones(1)

    with caplog.at_level(logging.WARNING, logger="customize_torch"):
        CPU(dtype="float32").load(changed(model, tmp_path, edit))
    assert "1 tensors its architecture does not use (model.extra)" in caplog.text


def test_files_in_shards_make_the_same_model(
    model: ModelFolder, batch: Batch, tmp_path: Path
) -> None:
    shutil.copytree(model.path, tmp_path, dirs_exist_ok=True)
    tensors = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    names = sorted(tensors)
    files = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(names)}
    for file in set(files.values()):
        save_file({n: tensors[n] for n in names if files[n] == file}, tmp_path / file)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    sharded: Session = opened(ModelFolder(tmp_path, "shards", "shards"), LoRA(rank=2))
    whole = opened(model, LoRA(rank=2)).forward(batch).result()
    np.testing.assert_array_equal(sharded.forward(batch).result(), whole)


def test_gradients_of_what_lies_between_products_match_finite_differences() -> None:
    torch.manual_seed(0)

    def doubles(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    angles = torch.randn(5, 3, dtype=torch.float64).repeat(1, 2)
    cos, sin = angles.cos(), angles.sin()
    assert torch.autograd.gradcheck(lambda x: rotate(x, cos, sin), doubles(2, 5, 6))
    assert torch.autograd.gradcheck(swiglu, (doubles(4, 6), doubles(4, 6)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_norm_has_the_values_and_gradients_of_its_formula(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, weight, grad = torch.randn(5, 8), torch.randn(8), torch.randn(5, 8).to(dtype)
    both = []
    for norm in (rms_norm, plain_norm):
        given, scale = (t.to(dtype).clone().requires_grad_() for t in (x, weight))
        out = norm(given, scale, 1e-5)
        out.backward(grad)
        both.append([out.detach(), given.grad, scale.grad])
    for found, wanted in zip(*both, strict=True):
        torch.testing.assert_close(found, wanted)


def plain_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    exact = x.float()
    normed = exact * torch.rsqrt(exact.pow(2).mean(-1, keepdim=True) + eps)
    return weight * normed.to(x.dtype)
