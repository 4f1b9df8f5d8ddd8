"""Why there is no NVIDIA GPU is told from files, before torch is imported."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from customize import BackendError, choose_backend
from customize.runs.backends import others_at_hand
from customize_cuda import backend
from customize_cuda.backend import CUDA
from customize_cuda.driver import reason_against
from customize_torch.group.each import each_on

ANY = "libc.so.6"  # stands for a driver that can be loaded


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """One with two GPUs."""
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    return tmp_path


def test_a_driver_and_a_device_are_enough(machine: Path) -> None:
    assert reason_against(machine, {}, ANY) is None
    assert reason_against(machine, {"CUDA_VISIBLE_DEVICES": "1"}, ANY) is None


@pytest.mark.parametrize("value", ["", "-1", "None"])
def test_a_variable_that_hides_every_device_is_named(machine: Path, value: str) -> None:
    reason = reason_against(machine, {"CUDA_VISIBLE_DEVICES": value}, ANY)
    assert reason == f"CUDA_VISIBLE_DEVICES={value!r} hides every GPU: unset it"


def test_a_missing_driver_is_told_with_its_library(machine: Path) -> None:
    reason = reason_against(machine, {}, "libno-such-driver.so.1")
    assert reason == "no NVIDIA driver: libno-such-driver.so.1 cannot be loaded"


def test_a_driver_without_a_device_points_to_the_container(machine: Path) -> None:
    for name in ("nvidia0", "nvidia1"):
        (machine / "dev" / name).unlink()
    assert "docker run --gpus all" in str(reason_against(machine, {}, ANY))


def test_windows_linux_has_its_own_device(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/dxg").touch()
    assert reason_against(tmp_path, {}, ANY) is None


@pytest.mark.parametrize(
    ("capability", "has"), [((8, 0), False), ((8, 9), True), ((9, 0), True), ((12, 0), True)]
)
def test_fp8_comes_with_ada(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], has: bool
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda index: capability)
    assert CUDA().has_fp8() == has


@pytest.mark.parametrize(
    ("capability", "dtype", "attention"),
    [
        ((7, 5), "float32", "scaled dot product, segment by segment"),
        ((8, 0), "bfloat16", "flash, all segments at once"),
        ((12, 0), "bfloat16", "flash, all segments at once"),
    ],
)
def test_bf16_and_flash_attention_come_with_ampere_whatever_torch_can_emulate(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: str, attention: str
) -> None:
    device = SimpleNamespace(name="Made Up 1000", total_memory=24 * 2**30)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda index: device)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda index: capability)
    assert CUDA().settled({}).numerics()["dtype"] == dtype
    assert CUDA().hardware()["attention"] == attention
    assert CUDA(dtype="bfloat16").hardware()["attention"] == attention


@pytest.mark.parametrize(
    ("built", "told"),
    [
        (None, "pip install torch"),
        ({"cuda": None, "hip": "7.2"}, "this torch is a ROCm build (7.2): use the backend rocm"),
        ({"cuda": None, "hip": None}, "torch was built without CUDA"),
    ],
)
def test_a_torch_that_cannot_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, built: dict[str, str | None] | None, told: str
) -> None:
    monkeypatch.setattr(backend, "built_for", lambda: built)
    assert told in str(CUDA().probe())


def test_a_device_that_torch_finds_not_is_refused_and_not_a_fault() -> None:
    """As a driver too old for this torch, or one that a job may not open."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(BackendError, match="torch finds no device"):
        CUDA().settled({})


@pytest.mark.parametrize(
    ("built", "capability", "has"),
    [
        ("sm_75 sm_80 sm_90", (7, 0), False),
        ("sm_75 sm_80 sm_90", (7, 5), True),
        ("sm_75 sm_80 sm_90", (8, 6), True),
        ("sm_86 sm_90", (8, 0), False),
        ("sm_80 sm_90", (12, 0), False),
        ("sm_80 sm_90 compute_90", (12, 0), True),
        ("sm_90a sm_100f", (10, 3), True),
        ("", (12, 0), True),
    ],
)
def test_a_torch_without_kernels_for_the_device_is_refused(
    monkeypatch: pytest.MonkeyPatch, built: str, capability: tuple[int, int], has: bool
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda index: "Made Up 1000")
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda index: None)
    monkeypatch.setattr("torch.cuda.get_arch_list", built.split)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda index: capability)
    if has:
        assert CUDA().settled({}).numerics()["dtype"] in ("float32", "bfloat16")
        return
    told = r"this torch has no kernels for Made Up 1000 \(sm_\d+; it has sm_.*\): install a build"
    with pytest.raises(BackendError, match=told):
        CUDA().settled({})


def test_where_torch_cannot_use_the_gpu_the_next_best_is_taken_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setattr(CUDA, "probe", lambda self: None)
    assert choose_backend("auto").name == "cpu"
    assert "cuda is left out: torch finds no device" in capsys.readouterr().err
    assert "cuda" not in [one.name for one in others_at_hand("cpu")]
    assert each_on("auto", {"threads": 1}).name == "cpu"
