"""What control groups leave is read from the files of both versions, wherever the process is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from customize import free_bytes
from customize._control_groups import processors
from customize.doctor.machine import machine

GROUPS = "sys/fs/cgroup"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The system's files of a machine with 64 GB free."""
    write(tmp_path / "proc/meminfo", {"": "MemAvailable: 62500000 kB\n"})
    return tmp_path


def write(place: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        file = place / name if name else place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_files_that_were_read_are_given_up(root: Path) -> None:
    held = {"memory.max": "16000000000\n", "memory.current": "15500000000\n"}
    write(root / GROUPS, {**held, "memory.stat": "anon 1500000000\ninactive_file 14000000000\n"})
    assert free_bytes(root) == 14.5e9


def test_a_job_has_what_the_groups_around_it_leave(root: Path) -> None:
    """As Slurm and systemd make them: the job's own limit is not the outermost's."""
    write(root / "proc/self", {"cgroup": "0::/system.slice/job_7/step_0\n"})
    job = root / GROUPS / "system.slice/job_7"
    write(job / "step_0", {"memory.max": "max\n", "memory.current": "1000000000\n"})
    write(job, {"memory.max": "8000000000\n", "memory.current": "3000000000\n"})
    write(job.parent, {"memory.max": "32000000000\n", "memory.current": "4000000000\n"})
    assert free_bytes(root) == 5e9
    write(job.parent, {"memory.current": "31000000000\n"})
    assert free_bytes(root) == 1e9


@pytest.mark.parametrize("path", ["/docker/abc", "/"])
def test_the_first_version_is_read_too(root: Path, path: str) -> None:
    """From outside a container, or from within, where the path of outside leads nowhere."""
    write(root / "proc/self", {"cgroup": f"4:memory:{path}\n1:cpu,cpuacct:{path}\n0::/\n"})
    limits = {
        "memory.limit_in_bytes": "4000000000\n",
        "memory.usage_in_bytes": "3500000000\n",
        "memory.stat": "inactive_file 1\ntotal_inactive_file 2000000000\n",
    }
    write(root / GROUPS / "memory", limits)
    write(root / GROUPS / "cpu", {"cpu.cfs_quota_us": "150000\n", "cpu.cfs_period_us": "100000\n"})
    assert free_bytes(root) == 2.5e9
    assert processors(root) == 1.5


def test_no_limit_is_none(root: Path) -> None:
    write(root / "proc/self", {"cgroup": "4:memory:/\n1:cpu:/\n0::/a/../../b\n"})
    unlimited = {"memory.limit_in_bytes": "9223372036854771712\n", "memory.usage_in_bytes": "5\n"}
    write(root / GROUPS / "memory", unlimited)
    write(root / GROUPS / "cpu", {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"})
    write(root / GROUPS, {"memory.max": "max\n", "cpu.max": "max 100000\n"})
    assert free_bytes(root) == 64e9
    assert processors(root) is None


def test_the_doctor_tells_a_job_s_own_quota(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    write(root / "proc/self", {"cgroup": "0::/job\n"})
    write(root / GROUPS / "job", {"cpu.max": "300000 100000\n"})
    told = next(finding for finding in machine(root) if finding.what == "processor")
    assert "set OMP_NUM_THREADS=3" in told.fix
