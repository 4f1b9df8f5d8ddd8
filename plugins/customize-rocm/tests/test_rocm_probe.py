"""Why there is no AMD GPU is told from files and rocminfo, before torch is imported."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from customize_rocm import backend
from customize_rocm.backend import ROCm
from customize_rocm.driver import reason_against

NODES = "sys/class/kfd/kfd/topology/nodes"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """One processor and one GPU, as the kernel lists them."""
    for node, units in ((0, 0), (1, 304)):
        folder = tmp_path / NODES / str(node)
        folder.mkdir(parents=True)
        (folder / "properties").write_text(f"cpu_cores_count 8\nsimd_count {units}\n")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kfd").touch()
    return tmp_path


def test_a_driver_and_a_device_are_enough(machine: Path) -> None:
    assert reason_against(machine, {}) is None
    assert reason_against(machine, {"HIP_VISIBLE_DEVICES": "0"}) is None


@pytest.mark.parametrize(
    "name", ["ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"]
)
def test_a_variable_that_hides_every_device_is_named(machine: Path, name: str) -> None:
    assert reason_against(machine, {name: ""}) == f"{name}='' hides every GPU: unset it"


def test_a_kernel_without_the_driver_is_told(tmp_path: Path) -> None:
    assert "/sys/class/kfd is missing" in str(reason_against(tmp_path, {}))


def test_a_processor_alone_is_no_gpu(machine: Path) -> None:
    (machine / NODES / "1/properties").write_text("simd_count 0\n")
    assert "lists no GPU" in str(reason_against(machine, {}))


def test_what_rocminfo_says_is_passed_on(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine / NODES / "1/properties").write_text("simd_count 0\n")
    tool = tmp_path / "rocminfo"
    tool.write_text("#!/bin/sh\necho 'ROCk module is NOT loaded' >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "(rocminfo: ROCk module is NOT loaded)" in str(reason_against(machine, {}))


def test_a_device_that_may_not_be_opened_names_the_groups(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *args: False)
    assert "groups render and video" in str(reason_against(machine, {}))


@pytest.mark.parametrize(
    ("kind", "has"),
    [
        ("gfx90a:sramecc+:xnack-", False),
        ("gfx942:sramecc+:xnack-", True),
        ("gfx1100", False),
        ("gfx1201", True),
    ],
)
def test_fp8_is_told_by_the_kind_of_the_device(
    monkeypatch: pytest.MonkeyPatch, kind: str, has: bool
) -> None:
    device = SimpleNamespace(gcnArchName=kind)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda index: device)
    assert ROCm().has_fp8() == has


def test_attention_is_what_was_not_tried_elsewhere() -> None:
    assert not ROCm.varlen


@pytest.mark.parametrize(
    ("built", "told"),
    [
        (None, "pip install torch"),
        ({"cuda": "13.0", "hip": None}, "this torch was built for CUDA (13.0)"),
        ({"cuda": None, "hip": None}, "this torch was built without a GPU"),
    ],
)
def test_a_torch_that_cannot_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, built: dict[str, str | None] | None, told: str
) -> None:
    monkeypatch.setattr(backend, "built_for", lambda: built)
    assert told in str(ROCm().probe())
