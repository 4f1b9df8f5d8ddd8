"""What is not computed is refused by name, before anything is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from customize import Exportable, ExportError, ModelFolder, OptionError
from customize_onnx.adapters import Adapter
from customize_onnx.architecture import read_architecture
from customize_onnx.exporter import ONNX

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 256,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
}
GEMMA3 = {"model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"]}
QWEN2 = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}
YARN = {"rope_type": "yarn", "factor": 4.0}


def written(folder: Path, **keys: object) -> Path:
    said = {key: value for key, value in (LLAMA | keys).items() if value is not None}
    (folder / "config.json").write_text(json.dumps(said))
    return folder


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"model_type": "gpt_neox", "architectures": None}, "gpt_neox .*there are llama, mistral"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "LlamaForSequenceClassification"),
        ({"model_type": "gemma2", "architectures": None}, "gemma2"),
        ({"rope_scaling": YARN}, "'yarn' .*there are default, linear, llama3"),
        ({"rope_parameters": {**YARN, "rope_theta": 1e4}}, "'yarn'"),
        ({"rope_scaling": {"type": "longrope"}}, "'longrope'"),
        ({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "partial_rotary"),
        ({"partial_rotary_factor": 0.5}, "turn in part"),
        ({**GEMMA3, "attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ({**GEMMA3, "final_logit_softcapping": 30.0}, "final_logit_softcapping"),
        ({**GEMMA3, "use_bidirectional_attention": True}, "use_bidirectional_attention"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"hidden_act": "relu"}, "'relu' .*there are silu"),
        ({"hidden_size": 32}, "heads of 8 dimensions"),
        ({"rms_norm_eps": None}, "no rms_norm_eps"),
        ({"layer_types": ["full_attention", "linear_attention"]}, "linear_attention"),
        ({**QWEN2, "use_sliding_window": True, "sliding_window": 8}, "no layer_types"),
    ],
    ids=str,
)
def test_an_architecture_that_is_not_computed_is_refused(
    keys: dict[str, object], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=told):
        read_architecture(written(tmp_path, **keys))


def test_configurations_of_before_are_read_as_they_were_meant(tmp_path: Path) -> None:
    old = {**GEMMA3, "rope_theta": 5e5, "rope_local_base_freq": 1e3, "sliding_window_pattern": 2}
    shape = read_architecture(written(tmp_path, **old, sliding_window=8))
    assert [(layer.rope.theta, layer.window) for layer in shape.layers] == [(1e3, 8), (5e5, 0)]
    shape = read_architecture(written(tmp_path, rope_theta=2e4))
    assert [layer.rope.theta for layer in shape.layers] == [2e4, 2e4]
    mistral = {"model_type": "mistral", "architectures": ["MistralForCausalLM"]}
    assert read_architecture(written(tmp_path, **mistral)).layers[0].window == 4096


def write_adapter(folder: Path, layer: str, **more: object) -> Path:
    config = {"r": 2, "lora_alpha": 4, **more}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    name = f"base_model.model.{layer}.lora_{{}}.weight"
    tensors = {name.format("A"): np.ones((2, 64)), name.format("B"): np.ones((256, 2))}
    save_file({k: v.astype(np.float32) for k, v in tensors.items()}, folder / FILE)
    return folder


FILE = "adapter_model.safetensors"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern"),
        ({"alpha_pattern": {"q_proj": 4}}, "alpha_pattern"),
    ],
    ids=str,
)
def test_an_adapter_that_is_more_than_lora_is_refused(
    more: dict[str, object], told: str, tmp_path: Path
) -> None:
    write_adapter(tmp_path, "model.layers.0.self_attn.q_proj", **more)
    with pytest.raises(ExportError, match=told):
        Adapter.read(tmp_path)


def test_an_adapter_of_a_layer_without_adapter_inputs_is_refused(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "adapter").mkdir()
    weights = write_adapter(tmp_path / "adapter", "lm_head")
    renderer: Any = None  # is not asked
    source = Exportable("a", ModelFolder(tmp_path, "m", "m"), weights, renderer)
    with pytest.raises(ExportError, match=r"changes lm_head, .*there are down_proj, gate_proj"):
        ONNX().check(source)


def test_tensors_of_no_layer_in_an_adapter_are_refused(tmp_path: Path) -> None:
    write_adapter(tmp_path, "model.layers.0.self_attn.q_proj")
    save_file({"base_model.model.lm_head.bias": np.ones(2, np.float32)}, tmp_path / FILE)
    with pytest.raises(ExportError, match=r"lm_head\.bias, which is no LoRA tensor"):
        Adapter.read(tmp_path)


def test_a_width_that_does_not_fill_blocks_is_refused(tmp_path: Path) -> None:
    written(tmp_path, hidden_size=80, head_dim=16)
    renderer: Any = None
    source = Exportable("a", ModelFolder(tmp_path, "m", "m"), tmp_path, renderer)
    with pytest.raises(ExportError, match=r"width 80 .*set weights=float16"):
        ONNX(weights="int8").check(source)
    ONNX(weights="float16").check(source)


def test_options_outside_their_bounds_are_refused() -> None:
    with pytest.raises(OptionError, match="int8"):
        ONNX(weights="int3")
    with pytest.raises(OptionError, match="context"):
        ONNX(context=0)
