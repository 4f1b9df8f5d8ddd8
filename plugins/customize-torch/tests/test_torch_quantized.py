"""A base in 8 or 4 bits: the plain base of its own weights made whole, in a part of the memory."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import customize
from customize import (
    AdamW,
    Batch,
    CrossEntropy,
    Full,
    LoRA,
    MissingDependency,
    ModelError,
    ModelFolder,
    ModelShape,
    Prompt,
    RunError,
    Sampling,
    Unsupported,
)
from customize.testing import conformance
from customize_torch import quantized
from customize_torch.backend import CPU
from customize_torch.engine import TorchEngine
from customize_torch.group.sharded import ShardedEngine
from customize_torch.holding import weight_bytes
from customize_torch.kernels import Place
from customize_torch.policy import Base
from customize_torch.session import TorchSession

torchao = pytest.importorskip("torchao.quantization")

test_int8 = conformance(backend=CPU(dtype="float32", token_budget=64, base="int8"))
test_nf4 = conformance(backend=CPU(dtype="bfloat16", base="nf4"))

needs_bitsandbytes = pytest.mark.skipif(
    find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
test_bnb_nf4 = needs_bitsandbytes(conformance(backend=CPU(dtype="bfloat16", base="bnb-nf4")))
BASES = ("int8", "nf4", pytest.param("bnb-nf4", marks=needs_bitsandbytes))

# As the authors of QLoRA give them (arXiv 2305.14314, appendix E).
LEVELS = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)


def loaded(model: ModelFolder, **options: Any) -> TorchEngine:
    engine = CPU(**{"dtype": "float32", **options}).load(model)
    assert isinstance(engine, TorchEngine)
    return engine


def base_of(engine: TorchEngine) -> Base:
    return engine._base


def whole(engine: TorchEngine, model: ModelFolder, folder: Path) -> ModelFolder:
    """The model of plain weights that a quantized base stands for."""
    shutil.copytree(model.path, folder)
    tensors = load_file(folder / "model.safetensors")
    for name, held in base_of(engine).switchboard.held.items():
        tensors[f"{name}.weight"] = held.whole(torch.float32).clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return ModelFolder(folder, model.name, model.fingerprint)


def learnt(engine: TorchEngine, batch: Batch, adapter: LoRA, steps: int = 2) -> TorchSession:
    session = engine.open(adapter, seed=1)
    assert isinstance(session, TorchSession)
    for _ in range(steps):
        session.forward_backward(batch, CrossEntropy())
        session.optim_step(AdamW(lr=1e-2)).result()
    return session


def brute_force(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """What nf4 with double quantization makes of weights, a block after the other."""
    levels = np.round(LEVELS, 4)  # as torchao keeps them
    blocks = weight.astype(np.float64).reshape(-1, 64)
    scales = np.abs(blocks).max(1)
    mean = scales.mean()
    out = []
    together = 256
    while len(scales) % together:
        together //= 2
    for i, block in enumerate(blocks):
        near = scales[i // together * together :][:together] - mean
        step = np.abs(near).max() / 128
        scale = mean + step * np.clip(np.round((scales[i] - mean) / step), -128, 127)
        nearest = np.abs(block[:, None] / scales[i] - levels).argmin(1)
        out.append(levels[nearest] * scale)
    return np.array(out).reshape(weight.shape)


@pytest.mark.parametrize("shape", [(32, 48), (96, 64), (512, 64), (24, 40)])
def test_nf4_is_what_its_authors_say(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    weight = (rng.normal(size=shape) * rng.uniform(0.01, 0.1, (shape[0], 1))).astype(np.float32)
    held = quantized.NF4.of(torch.from_numpy(weight))
    found = held.whole(torch.float32)
    np.testing.assert_allclose(found.numpy(), brute_force(weight), atol=1e-6 * np.abs(weight).max())
    theirs = torchao.to_nf4(torch.from_numpy(weight), 64, held.scales_BS.shape[1])
    np.testing.assert_array_equal(found.numpy(), theirs.get_original_weight().numpy())
    rounded = held.whole(torch.bfloat16)
    assert torch.equal(rounded, theirs.get_original_weight().bfloat16())


def test_int8_is_the_nearest_of_255_steps_of_a_row() -> None:
    weight = torch.randn(48, 32, generator=torch.Generator().manual_seed(0))
    held = quantized.Int8.of(weight)
    step = weight.abs().amax(1, keepdim=True) / 127.5
    away = (held.whole(torch.float32) - weight).abs()
    assert (away <= step * 0.5001)[weight < weight.amax(1, keepdim=True)].all()
    theirs = torchao.Int8Tensor.from_hp(weight, torchao.PerRow())
    assert torch.equal(held.whole(torch.bfloat16), theirs.dequantize(torch.bfloat16))


def _levels_of(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The nearest of the 16 levels for each weight, times its block's largest, unrounded."""
    blocks = weight.astype(np.float64).reshape(-1, 64)
    scales = np.abs(blocks).max(1)[:, None]
    levels = np.array(LEVELS)
    nearest = np.abs(blocks[:, :, None] / scales[:, :, None] - levels).argmin(2)
    out: npt.NDArray[np.float64] = (levels[nearest] * scales).reshape(weight.shape)
    return out


@needs_bitsandbytes
@pytest.mark.parametrize("shape", [(96, 64), (512, 64), (24, 40)])
def test_nf4_by_bitsandbytes_is_the_same_but_for_how_scales_are_rounded(
    shape: tuple[int, int],
) -> None:
    rng = np.random.default_rng(0)
    weight = (rng.normal(size=shape) * rng.uniform(0.01, 0.1, (shape[0], 1))).astype(np.float32)
    held = quantized.BitsAndBytes.of(torch.from_numpy(weight))
    found = held.whole(torch.float32).numpy()
    scales = np.abs(weight.reshape(-1, 64)).max(1)
    away = np.abs(scales - scales.mean()).max()
    # Half of a step of its 64 for the largest scales, which lie between 0.1 and 1.
    assert np.abs(found - _levels_of(weight)).max() <= 0.9 / 64 / 2 * away * 1.001
    torchaos = quantized.NF4.of(torch.from_numpy(weight)).whole(torch.float32).numpy()
    apart = np.abs(found - torchaos) / (0.9 / 64 / 2 + 1 / 128 / 2) / away
    assert (apart > 1.01).mean() < 1e-3  # weights between two levels, which torchao rounds
    rounded = held.whole(torch.bfloat16)
    assert torch.equal(rounded, torch.from_numpy(found).bfloat16())


@needs_bitsandbytes
def test_bitsandbytes_is_imported_without_what_loads_code_from_the_hub(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[object] = []
    monkeypatch.setattr(
        quantized, "import_module", lambda name: seen.append(sys.modules["kernels"])
    )
    for there in (None, sys):
        monkeypatch.delitem(sys.modules, "kernels", raising=False)
        if there is not None:
            monkeypatch.setitem(sys.modules, "kernels", there)
        quantized.check_installed("bnb-nf4")
        assert sys.modules.get("kernels") is there
    assert seen == [None, None]


@pytest.mark.parametrize("base", BASES)
def test_weights_of_zero_stay_zero(base: str) -> None:
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    weight[3], weight[9:20] = 0, 0
    found = quantized.MAKING[base](weight).whole(torch.float32)
    assert found.isfinite().all()
    assert not found[weight == 0].any()


@pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "down_proj")])
@pytest.mark.parametrize("base", BASES)
def test_it_computes_as_a_plain_base_of_its_weights_made_whole(
    model: ModelFolder, batch: Batch, tmp_path: Path, base: str, targets: Any
) -> None:
    engine = loaded(model, base=base)
    plain = loaded(whole(engine, model, tmp_path / "whole"))
    here, there = (learnt(one, batch, LoRA(rank=4, targets=targets)) for one in (engine, plain))
    outputs = [s.forward_backward(batch, CrossEntropy()).result() for s in (here, there)]
    np.testing.assert_allclose(outputs[0].logprobs, outputs[1].logprobs, rtol=1e-6, atol=1e-6)
    assert here.gradients.keys() == there.gradients.keys()
    for name, gradient in here.gradients.items():
        torch.testing.assert_close(gradient, there.gradients[name], rtol=1e-6, atol=1e-6)
        assert gradient.any()
    asked = [Prompt(batch.take([5]).tokens[:9], n=2, seed=3)]
    said = [s.sample(asked, Sampling(max_tokens=8)).result()[0] for s in (here, there)]
    for one, other in zip(*said, strict=True):
        np.testing.assert_array_equal(one.tokens, other.tokens)
        np.testing.assert_allclose(one.logprobs, other.logprobs, rtol=1e-6, atol=1e-6)
    exact = loaded(model).base().forward(batch).result()
    assert np.abs(engine.base().forward(batch).result() - exact).max() > 1e-3


def test_a_model_that_transformers_loads_is_held_in_the_same_way(
    model: ModelFolder, batch: Batch, tmp_path: Path
) -> None:
    folder = shutil.copytree(model.path, tmp_path / "scaled")
    config = (folder / "config.json").read_text("utf-8")
    config = config.replace('"rope_type": "default"', '"rope_type": "linear", "factor": 2.0')
    (folder / "config.json").write_text(config, "utf-8")
    scaled = ModelFolder(folder, "scaled", "scaled")
    engine = loaded(scaled, base="nf4")
    assert type(base_of(engine).model).__module__.startswith("transformers")
    plain = loaded(whole(engine, scaled, tmp_path / "whole"))
    found, wanted = (
        learnt(one, batch, LoRA(rank=4)).forward(batch).result() for one in (engine, plain)
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("base", BASES)
def test_a_base_takes_what_the_plan_says_and_not_more(model: ModelFolder, base: str) -> None:
    whole_bytes = sum(p.nbytes for p in base_of(loaded(model)).model.parameters())
    here = base_of(loaded(model, base=base))
    layers = sum(held.nbytes for held in here.switchboard.held.values())
    rest = sum(p.nbytes for p in here.model.parameters())
    shape = ModelShape.of_folder(model.path)
    assert rest == whole_bytes - 4 * shape.linear_parameters
    told = weight_bytes(shape, base, 4)
    # The plan counts the largest layer whole, and no table in each: of 256 pairs, or of scales.
    largest = max(i * o for i, o in shape.linear.values())
    tables = {"int8": 0, "nf4": 2048 + 4, "bnb-nf4": 1024 + 4}[base] * len(shape.linear)
    assert layers + rest - tables == pytest.approx(told - largest * 14, rel=0.01)
    bits = 8 if base == "int8" else 4
    assert layers - tables < shape.linear_parameters * bits / 8 * 1.2


def test_between_the_passes_no_weight_is_whole(model: ModelFolder, batch: Batch) -> None:
    session = learnt(loaded(model, base="int8"), batch, LoRA(rank=4, targets=("q_proj",)))
    leaves = {k: t.detach().requires_grad_() for k, t in session.tensors.items()}
    shapes = {held.codes_OI.shape for held in _int8(session)}
    kept: list[torch.Size] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        attrs.evolve(session.policy, tensors=leaves).logprobs(batch)
    assert kept
    assert not {*map(tuple, kept)} & {*map(tuple, shapes)}


def _int8(session: TorchSession) -> list[quantized.Int8]:
    held = session.policy.base.switchboard.held.values()
    return [one for one in held if isinstance(one, quantized.Int8)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_was_saved_goes_on_bit_by_bit_and_recomputing_changes_nothing(
    model: ModelFolder, batch: Batch, tmp_path: Path, dtype: str
) -> None:
    unbroken = learnt(loaded(model, base="nf4", dtype=dtype), batch, LoRA(rank=4), steps=4)
    begun = learnt(loaded(model, base="nf4", dtype=dtype), batch, LoRA(rank=4), steps=2)
    begun.save(tmp_path)
    again = loaded(model, base="nf4", dtype=dtype, recompute="always").open(LoRA(rank=4))
    again.load(tmp_path)
    for _ in range(2):
        again.forward_backward(batch, CrossEntropy())
        again.optim_step(AdamW(lr=1e-2)).result()
    assert isinstance(again, TorchSession)
    for name, tensor in unbroken.tensors.items():
        assert torch.equal(tensor, again.tensors[name]), name
    with pytest.raises(ModelError, match="from a base held as nf4, not as plain"):
        loaded(model, dtype=dtype).open(LoRA(rank=4)).load(tmp_path)


def test_what_a_quantized_base_cannot_do_is_refused_with_the_fix(
    model: ModelFolder, batch: Batch, tmp_path: Path
) -> None:
    backend = CPU(dtype="float32", base="int8")
    engine = backend.load(model)
    assert backend.capabilities() == engine.capabilities == CPU().capabilities() - {"full", "peft"}
    with pytest.raises(Unsupported, match="full: weights held in int8 are frozen: train"):
        engine.open(Full())
    CPU(dtype="float32").load(model).open(Full()).save_weights(tmp_path)
    with pytest.raises(Unsupported, match="full: weights held in int8"):
        engine.open(tmp_path)
    with pytest.raises(Unsupported, match="leave out shard, or base"):
        backend.load_as(ShardedEngine, model)
    odd = nn.ModuleDict({"narrow": nn.Linear(5, 3)})
    layers = {"narrow": odd["narrow"]}
    with pytest.raises(ModelError, match="narrow has 15: take base=int8"):
        quantized.hold(odd, layers, Place(base="nf4"))
    with pytest.raises(ModelError, match="this model has none"):
        quantized.hold(odd, {}, Place(base="int8"))


def test_an_adapter_says_which_base_it_was_trained_on(
    model: ModelFolder, batch: Batch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    learnt(loaded(model, base="nf4"), batch, LoRA(rank=2)).save_weights(tmp_path / "held")
    learnt(loaded(model), batch, LoRA(rank=2)).save_weights(tmp_path / "plain")
    for base in ("plain", "nf4"):
        loaded(model, base=base).open(tmp_path / ("plain" if base == "plain" else "held"))
    assert not caplog.records
    loaded(model).open(tmp_path / "held")
    assert "was trained on a base held as nf4, which is plain here" in caplog.text
    loaded(model, base="int8").open(tmp_path / "plain")
    assert "was trained on a base held as plain, which is int8 here" in caplog.text


@pytest.mark.parametrize(("base", "maker"), [("nf4", "torchao"), ("bnb-nf4", "bitsandbytes")])
def test_without_its_maker_the_exact_line_is_told(
    model: ModelFolder, monkeypatch: pytest.MonkeyPatch, base: str, maker: str
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == maker]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, maker, None)
    with pytest.raises(MissingDependency, match=rf"pip install 'customize-torch\[{maker}\]'"):
        CPU(base=base).load(model)
    CPU(dtype="float32").load(model)


def test_a_run_learns_goes_on_with_its_own_base_alone_and_is_not_exported_as_another(
    model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("customize_sft")
    pytest.importorskip("customize_hf")
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    rows = [{"prompt": f"{i}?", "completion": "yes, of course"} for i in range(8)]
    given: dict[str, Any] = {
        "model": model.path,
        "data": rows,
        "to": tmp_path / "run",
        "options": {"steps": 12, "batch_size": 4, "lr": 1e-2},
    }
    held = CPU(dtype="float32", base="nf4")
    run = customize.train(**given, backend=held)
    assert run.metrics[-1]["loss"] < 0.5 * run.metrics[0]["loss"]
    assert run.folder is not None
    assert run.folder.lineage()["backend_options"]["base"] == "nf4"
    (tmp_path / "run" / "finished.json").unlink()
    with pytest.raises(RunError, match="base"):
        customize.train(**given, backend=CPU(dtype="float32"))
    run = customize.train(**given, backend=held)
    with pytest.raises(Unsupported, match=r"needs peft.*cpu.*base=nf4.*backend='cpu'"):
        run.export("hf", to=tmp_path / "package")
    plain = customize.open(tmp_path / "run", backend="cpu").backend
    assert "peft" in plain.capabilities()  # what the error says to do is exportable
