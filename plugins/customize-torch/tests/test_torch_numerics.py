"""What decides the bits, and which dtype ``auto`` takes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from customize import AdamW, Batch, CheckpointError, CrossEntropy, LoRA, ModelFolder
from customize_torch import measuring
from customize_torch.backend import CPU
from customize_torch.session import TorchSession


@pytest.fixture(autouse=True)
def measured_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    remembered = measuring.fastest_dtype, measuring._tried
    for one in remembered:
        one.cache_clear()
    yield
    for one in remembered:
        one.cache_clear()


def taking(monkeypatch: pytest.MonkeyPatch, float32_s: float, bfloat16_s: float) -> None:
    monkeypatch.setattr(measuring, "_seconds", lambda *dtypes: [float32_s, bfloat16_s])


@pytest.mark.parametrize(
    ("float32_s", "bfloat16_s", "chosen"),
    [(2e-3, 1e-3, "bfloat16"), (1e-3, 2e-3, "float32"), (1.1e-3, 1e-3, "float32")],
)
def test_auto_takes_bf16_only_where_it_is_worth_it_and_logs_the_times(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    float32_s: float,
    bfloat16_s: float,
    chosen: str,
) -> None:
    taking(monkeypatch, float32_s, bfloat16_s)
    with caplog.at_level(logging.INFO, logger="customize_torch"):
        assert CPU().settled({}).numerics()["dtype"] == chosen
    assert f"computing in {chosen}" in caplog.text
    assert f"{1e3 * float32_s:.2f} ms in float32" in caplog.text


def test_what_was_measured_once_on_a_machine_is_chosen_and_logged_ever_after(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    taking(monkeypatch, 2e-3, 1e-3)
    assert CPU().settled({}).numerics()["dtype"] == "bfloat16"
    taking(monkeypatch, 1e-3, 2e-3)
    measuring.fastest_dtype.cache_clear()
    measuring._tried.cache_clear()
    with caplog.at_level(logging.INFO, logger="customize_torch"):
        assert CPU().settled({}).numerics()["dtype"] == "bfloat16"
    assert "takes 2.00 ms in float32" in caplog.text
    assert CPU().hardware() == {"bf16": "0.5 times as fast as float32"}  # tried, not remembered
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    measuring.fastest_dtype.cache_clear()
    assert CPU().settled({}).numerics()["dtype"] == "float32"


def test_what_a_run_began_with_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "_seconds", lambda *dtypes: pytest.fail("measured"))
    began = {"dtype": "bfloat16", "threads": 3, "token_budget": 2048}
    assert CPU().settled(began).numerics() == began
    assert CPU(dtype="float32").settled(began).numerics()["dtype"] == "float32"
    assert CPU(threads=2).settled(began).numerics()["threads"] == 2


def test_an_engine_computes_with_the_threads_that_were_settled(model: ModelFolder) -> None:
    before = torch.get_num_threads()
    assert CPU(dtype="float32").settled({}).numerics()["threads"] == before
    try:
        CPU(dtype="float32").settled({"threads": before + 1}).load(model)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_a_real_measure_is_positive_and_leaves_the_threads_as_they_were() -> None:
    threads = torch.get_num_threads()
    assert all(seconds > 0 for seconds in measuring._seconds(torch.float32, torch.bfloat16))
    assert torch.get_num_threads() == threads


def weights(model: ModelFolder, batch: Batch, **options: object) -> bytes:
    session = CPU(**options).load(model).open(LoRA(rank=4), seed=1)  # type: ignore[arg-type]
    assert isinstance(session, TorchSession)
    for _ in range(3):
        session.forward_backward(batch, CrossEntropy())
        session.optim_step(AdamW(lr=1e-2)).result()
    return b"".join(t.numpy().tobytes() for t in session.policy.tensors.values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_numerics_name_what_decides_the_bits_and_nothing_else(
    model: ModelFolder, batch: Batch, dtype: str
) -> None:
    usual = weights(model, batch, dtype=dtype)
    assert weights(model, batch, dtype=dtype, recompute="always") == usual
    assert weights(model, batch, dtype=dtype, activation_mb=1) == usual
    assert weights(model, batch, dtype=dtype, token_budget=30) != usual
    other = "float32" if dtype == "bfloat16" else "bfloat16"
    assert weights(model, batch, dtype=other) != usual
    assert CPU().numerics().keys() == {"dtype", "threads", "token_budget"}


@pytest.mark.parametrize("part", ["weights", "means", "squares"])
def test_a_state_that_lacks_a_part_is_refused_and_the_part_named(
    model: ModelFolder, batch: Batch, tmp_path: Path, part: str
) -> None:
    session = CPU(dtype="float32").load(model).open(LoRA(rank=2))
    session.forward_backward(batch, CrossEntropy())
    session.optim_step(AdamW()).result()
    session.save(tmp_path)
    before = session.forward(batch).result()
    tensors = load_file(tmp_path / "state.safetensors")
    left = {name: t for name, t in tensors.items() if not name.startswith(f"{part}/")}
    save_file(left, tmp_path / "state.safetensors")
    with pytest.raises(CheckpointError, match=f"lacks {part}"):
        session.load(tmp_path)
    np.testing.assert_array_equal(session.forward(batch).result(), before)
