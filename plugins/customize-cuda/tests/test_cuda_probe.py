"""Why there is no NVIDIA GPU is told from files, before torch is imported."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from customize_cuda import backend
from customize_cuda.backend import CUDA
from customize_cuda.driver import reason_against

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
