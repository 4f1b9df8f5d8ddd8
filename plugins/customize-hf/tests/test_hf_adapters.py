"""Adapters that servers would refuse, or read wrongly in silence, are refused or merged."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from customize import Exportable, ExportError, ModelFolder
from customize.testing import write_tiny_model
from customize.testing.renderer import ToyRenderer
from customize_hf import adapters
from customize_hf.exporter import HF
from customize_hf.merging import merge

torch = pytest.importorskip("torch")
LAYER = "model.layers.0.self_attn.q_proj"


def written(folder: Path, layer: str = LAYER, **config: Any) -> Path:
    """An adapter of one layer of the tiny model, whose update is not nothing."""
    folder.mkdir(exist_ok=True)
    rank = config.get("r", 2)
    torch.manual_seed(0)
    name = f"base_model.model.{layer}.lora_{{}}.weight"
    tensors = {name.format("A"): torch.randn(rank, 32), name.format("B"): torch.randn(32, rank)}
    save_file(tensors, folder / "adapter_model.safetensors")
    told = {"r": rank, "lora_alpha": 4, "peft_type": "LORA", "bias": "none", **config}
    (folder / "adapter_config.json").write_text(json.dumps(told), "utf-8")
    return folder


@pytest.fixture
def model(tmp_path: Path) -> ModelFolder:
    return write_tiny_model(tmp_path / "model")


def test_a_plain_adapter_can_be_served_and_merged(tmp_path: Path) -> None:
    plain = adapters.read(written(tmp_path / "adapter"))
    assert plain.unservable() is None
    assert plain.unmergeable() is None


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"rank_pattern": {"q_proj": 4}}, "has rank_pattern, which vLLM does not read"),
        ({"alpha_pattern": {"q_proj": 4}}, "has alpha_pattern, which vLLM does not read"),
        ({"r": 513}, "rank 513 is above vLLM's highest, 512"),
    ],
)
def test_what_servers_cannot_load_is_told_to_be_merged(
    tmp_path: Path, config: dict[str, Any], told: str
) -> None:
    adapter = adapters.read(written(tmp_path / "adapter", **config))
    assert told in str(adapter.unservable())
    assert "set merged=true" in str(adapter.unservable())
    assert adapter.unmergeable() is None


def test_a_layer_that_servers_do_not_know_is_named(tmp_path: Path) -> None:
    adapter = adapters.read(written(tmp_path / "adapter", layer="model.layers.0.mixer.in_proj"))
    assert "changes in_proj, and vLLM takes" in str(adapter.unservable())


@pytest.mark.parametrize(
    "config", [{"use_dora": True}, {"modules_to_save": ["lm_head"]}, {"bias": "all"}], ids=str
)
def test_more_than_low_rank_updates_is_neither_served_nor_merged(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    adapter = adapters.read(written(tmp_path / "adapter", **config))
    assert next(iter(config)) in str(adapter.unservable())
    assert "merge_and_unload" in str(adapter.unmergeable())


def test_commands_are_those_of_a_shell_whatever_the_run_is_called(
    tmp_path: Path, model: ModelFolder
) -> None:
    source = Exportable("my run", model, written(tmp_path / "adapter"), ToyRenderer())
    for how in HF().how_to_run(source).values():
        assert "my run={folder}" in shlex.split(how)


@pytest.mark.parametrize(
    ("rank", "legal"), [(1, 1), (2, 8), (8, 8), (17, 32), (129, 256), (300, 320), (512, 512)]
)
def test_the_flag_is_the_lowest_legal_rank_that_is_enough(rank: int, legal: int) -> None:
    assert adapters.served_rank(rank) == legal


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({}, 2.0),
        ({"use_rslora": True}, 4 / 2**0.5),
        ({"alpha_pattern": {"q_proj": 6}}, 3.0),
        ({"alpha_pattern": {"layers.1.*q_proj": 6}}, 2.0),
    ],
    ids=str,
)
def test_a_merge_adds_each_layers_update_by_its_own_scale(
    tmp_path: Path, model: ModelFolder, config: dict[str, Any], scale: float
) -> None:
    adapter = written(tmp_path / "adapter", **config)
    (tmp_path / "out").mkdir()
    merge(model.path, adapter, tmp_path / "out", "float32", 10**9)
    before = load_file(model.path / "model.safetensors")
    after = load_file(tmp_path / "out" / "model.safetensors")
    down, up = load_file(adapter / "adapter_model.safetensors").values()
    wanted = {**before, f"{LAYER}.weight": before[f"{LAYER}.weight"] + scale * (up @ down)}
    assert wanted.keys() == after.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(after[name], tensor)


def test_large_models_are_cut_into_shards_that_are_the_same(
    tmp_path: Path, model: ModelFolder
) -> None:
    adapter = written(tmp_path / "adapter")
    for name, size in (("whole", 10**9), ("cut", 20_000)):
        (tmp_path / name).mkdir()
        merge(model.path, adapter, tmp_path / name, "bfloat16", size)
    index = json.loads((tmp_path / "cut" / "model.safetensors.index.json").read_text())
    shards = sorted((tmp_path / "cut").glob("*.safetensors"))
    assert len(shards) > 2
    assert {p.name for p in shards} == set(index["weight_map"].values())
    whole = load_file(tmp_path / "whole" / "model.safetensors")
    for shard in shards:
        for name, tensor in load_file(shard).items():
            assert index["weight_map"].pop(name) == shard.name
            assert torch.equal(tensor, whole.pop(name))
    assert not whole
    assert not index["weight_map"]


def test_an_adapter_of_a_tied_head_is_not_merged(tmp_path: Path, model: ModelFolder) -> None:
    adapter = written(tmp_path / "adapter", layer="lm_head")
    with pytest.raises(ExportError, match="changes lm_head, which shares its weights"):
        merge(model.path, adapter, tmp_path, "float32", 10**9)
