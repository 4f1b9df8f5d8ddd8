"""What the backends of GPUs share, as far as it can be held without one."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from customize import AdamW, BackendError, Batch, CrossEntropy, LoRA, ModelFolder, ModelShape
from customize_torch import few_rows, gpu, llama, loading
from customize_torch.backend import CPU
from customize_torch.checking import command, shapes, speed
from customize_torch.checking.command import main
from customize_torch.checking.page import table
from customize_torch.device_memory import take_peak
from customize_torch.drawing import Drawing
from customize_torch.engine import TorchEngine
from customize_torch.few_rows import Joint, Packing
from customize_torch.gpu import GPU, built_for
from customize_torch.kernels import PLAIN
from customize_torch.lora import updates_of
from customize_torch.session import TorchSession


class Here(GPU):
    """Says that it can run, whatever the machine."""

    name = "here"

    def probe(self) -> str | None:
        return None

    def has_bf16(self) -> bool:
        return True

    def has_fp8(self) -> bool:
        return True


class Nowhere(Here):
    """Says that it cannot."""

    def probe(self) -> str | None:
        return "there is none"


def test_torch_is_asked_again_before_a_model_is_loaded(model: Any) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(BackendError, match="torch finds no device"):
        Here().load(model)


def test_what_torch_cannot_use_is_refused_before_anything_is_settled(
    made_up: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in (Here(device=1), Here(device=1, dtype="bfloat16")):
        with pytest.raises(BackendError, match="device=1, but torch sees 1: they count from 0"):
            other.settled({})

    def busy(index: int) -> None:
        raise RuntimeError("CUDA error: all devices are busy\nCUDA kernel errors might be …")

    monkeypatch.setattr(torch.cuda, "get_device_properties", busy)
    with pytest.raises(BackendError, match=r"torch cannot use the device: .* are busy$"):
        Here().settled({})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackendError, match="torch finds no device"):
        Here().settled({})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n", ("13.0", None)),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '7.2.5'\n", (None, "7.2.5")),
        ("cuda = None\nhip = None\n", (None, None)),
    ],
)
def test_what_torch_was_built_for_is_read_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: tuple[str | None, ...]
) -> None:
    (tmp_path / "version.py").write_text(text)
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(gpu, "find_spec", lambda name: spec)
    assert built_for() == {"cuda": told[0], "hip": told[1]}


def test_what_torch_was_built_for_is_what_it_says_itself() -> None:
    assert built_for() == {"cuda": torch.version.cuda, "hip": torch.version.hip}


def test_no_torch_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    assert built_for() is None


def test_kernels_are_chosen_once_and_kept(made_up: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    begun = Here(dtype="bfloat16").settled({})
    assert begun.numerics() == {"dtype": "bfloat16", "kernels": "torch", "token_budget": 8192}
    monkeypatch.setattr(gpu, "find_spec", lambda name: object())
    assert Here(dtype="bfloat16").settled({}).numerics()["kernels"] == "triton"
    assert Here(dtype="bfloat16").settled(begun.numerics()).numerics()["kernels"] == "torch"


@pytest.mark.parametrize("name", sorted(speed.SHAPES))
def test_a_shape_counts_the_weights_a_token_meets(name: str) -> None:
    size = speed.SHAPES[name]
    shape = llama.shape_of(size.config)
    assert shape is not None
    with torch.device("meta"):
        model = llama.CausalLM(shape, PLAIN)
    linear = [m.weight.numel() for m in model.modules() if type(m) is torch.nn.Linear]
    assert size.matrices == sum(linear)


def test_a_written_shape_is_loaded_whole(tmp_path: Path) -> None:
    config = {**speed.SHAPES["0.5B"].config, "hidden_size": 64, "vocab_size": 256}
    config |= {"num_hidden_layers": 2, "intermediate_size": 96, "num_attention_heads": 4}
    size = shapes.Size(config=config, token_budget=64)
    from customize_torch.backend import CPU

    folder = shapes.write(size, tmp_path / "random")
    batch = shapes.packed(size, num_sequences=3, length=20)
    logprobs = CPU(dtype="float32").load(folder).base().forward(batch).result()
    assert (logprobs != 0).sum() == 3 * 19
    assert batch.columns["weights"].sum() == pytest.approx(1)


def test_a_check_without_a_device_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(Nowhere, [])
    assert stopped.value.code == 2
    assert "there is none" in capsys.readouterr().err


def test_a_check_tells_what_it_lacks_before_it_begins(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    for arguments, told in (
        (["--only", "training", "--model", "./nowhere"], "or train another with --model"),
        (["--only", "rules"], "pip install peft"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(Here, arguments)
        assert stopped.value.code == 2
        assert told in capsys.readouterr().err


def test_the_table_holds_what_was_found() -> None:
    folder = Path(__file__).parents[3] / "docs/reference/hardware"
    for file in folder.glob("*.json"):
        found = json.loads(file.read_text("utf-8"))
        text = table(found)
        assert found["machine"]["device"] in text
        for name in ("0.5B", "8B"):
            assert f"{found['speed'][name]['mfu']:.0%}" in text


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A device by what torch would say of it."""
    device = SimpleNamespace(name="Made Up 1000", total_memory=24 * 2**30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: device)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (20 * 2**30, 24 * 2**30))
    return device


class OneCall(Here):
    """Whose segments go through flash attention."""

    varlen = True


def test_what_a_device_can_is_told_by_name(made_up: Any) -> None:
    told = Here().hardware()
    apart = "scaled dot product, segment by segment"
    assert told == {
        "device": "Made Up 1000",
        "memory": "26 GB",
        "bf16": "yes",
        "fp8": "yes",
        "attention": apart,
    }
    assert OneCall().hardware()["attention"] == "flash, all segments at once"
    assert OneCall(dtype="float32").hardware()["attention"] == apart


def test_the_device_is_the_machine_and_no_part_of_the_numerics(made_up: Any) -> None:
    assert Here().machine() == {"device": "Made Up 1000"}
    assert "device" not in Here(dtype="bfloat16").numerics()


def test_the_head_holds_a_part_of_the_device_s_memory_and_a_gigabyte_at_most(made_up: Any) -> None:
    sizes = {"hidden": 64, "intermediate": 64, "attention_width": 64, "key_value_width": 64}
    shape = ModelShape(
        {"only": (64, 64)}, num_parameters=4096, num_layers=1, vocabulary=128_256, **sizes
    )
    heads = []
    for gigabytes in (8, 24, 64, 141):
        made_up.total_memory = gigabytes * 2**30
        found = Here(dtype="bfloat16").memory(shape, LoRA(), 2048, 1e6)
        heads.append(found["head"])
    # Logits and probabilities, in float32.
    assert heads == [2 * gigabytes * 2**30 / 64 for gigabytes in (8, 24, 64, 64)]


def test_a_peak_that_no_data_sheet_tells_is_told_as_measured() -> None:
    file = Path(__file__).parents[3] / "docs/reference/hardware/nvidia-h200.json"
    found = json.loads(file.read_text("utf-8"))
    assert "Peak by the data sheet: 989 TFLOP/s" in table(found)
    peaks = found["speed"]["peaks"]
    peaks |= {"flops": peaks["measured_flops"], "bytes": peaks["measured_bytes"]}
    assert "data sheet: 783" in table(found)
    assert "Peak measured there, without a data sheet: 783 TFLOP/s and 4.19 TB/s." in table(found)


def test_a_token_is_drawn_by_its_seed_index_and_place_alone() -> None:
    from customize import Sampling

    rng = np.random.default_rng(0)
    logits_RV = torch.from_numpy(rng.normal(size=(3, 50)).astype(np.float32))
    keys = [(5, 0), (5, 1), (9, 0)]
    drawing = Drawing(keys, Sampling(max_tokens=7), torch.device("cpu"))
    drawing.keep(torch.tensor([0, 2]))
    token_R = drawing.draw(logits_RV[[0, 2]], step=4)[0]
    for row, (seed, index) in ((0, keys[0]), (1, keys[2])):
        counter = np.array([4, 0, 0, 0], np.uint64)
        key = np.array([seed, index], np.uint64)
        uniform = np.random.Generator(np.random.Philox(key=key, counter=counter)).random()
        mass = logits_RV[[0, 2]][row].double().softmax(-1).cumsum(-1)
        assert int(token_R[row]) == int((mass < np.float32(uniform)).sum())


def test_weights_loaded_one_below_the_other_multiply_as_one(
    model: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, whose weights lie so; here the room is made on the processor."""
    for module in (few_rows, loading):
        monkeypatch.setattr(module, "lies_stacked", lambda device: True)
    engine = CPU(dtype="float32").load(model)
    assert isinstance(engine, TorchEngine)
    for name, layer in engine._base.switchboard.layers.items():
        stored = layer.weight.untyped_storage().nbytes() // layer.weight.nbytes
        assert (stored > 1) == name.endswith(("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"))
    session = engine.open(LoRA(rank=4), seed=1)
    assert isinstance(session, TorchSession)
    tokens = np.arange(1, 30, dtype=np.int32)
    batch = Batch.from_sequences([(tokens, {"weights": tokens > 2})])
    session.forward_backward(batch, CrossEntropy())
    session.optim_step(AdamW(lr=1e-2)).result()
    products = session.policy.ready().products
    assert products is not None
    policy = session.policy
    learnt = updates_of(policy.tensors, policy.scale or 0.0, torch.float32)
    for joint, product in products.joints.items():
        x = torch.randn(1, 7, joint.layers[0].in_features)
        with engine._base.switchboard.using(learnt):
            wanted = joint(x)
        for one, other in zip(product(x), wanted, strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_weights_that_lie_apart_are_left_to_their_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_rows, "lies_stacked", lambda device: True)
    layers = [nn.Linear(8, 8), nn.Linear(8, 8)]
    whole = torch.zeros(16, 8)
    assert Packing({Joint(*layers): "ab"}, nn.Linear(8, 9)).products({}) is None
    for layer, rows in zip(layers, whole.split(8), strict=True):
        layer.weight = nn.Parameter(rows, requires_grad=False)
    assert Packing({Joint(*layers): "ab"}, nn.Linear(8, 9)).products({}) is not None
    assert Packing({Joint(*layers[::-1]): "ba"}, nn.Linear(8, 9)).products({}) is None


def test_the_processor_has_no_memory_of_its_own(model: Any) -> None:
    assert CPU().load(model).base().device_peak() is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_the_peak_of_a_device_is_what_was_held_since_it_was_last_asked() -> None:
    device = torch.device("cuda", 0)
    take_peak(device)
    before = torch.cuda.memory_allocated(device)
    held = torch.zeros(2**24, device=device)  # 64 MB
    del held
    assert take_peak(device) == before + 2**26
    assert take_peak(device) == before


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_triton_kernels_equal_the_plain_ones() -> None:
    # In a process of its own: whether kernels are interpreted is settled when triton is imported.
    environment = dict(os.environ)
    if not torch.cuda.is_available():
        environment["TRITON_INTERPRET"] = "1"
    script = Path(__file__).with_name("triton_beside_plain.py")
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
