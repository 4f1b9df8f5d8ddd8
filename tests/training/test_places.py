"""Odd places, damaged files of the folder, clocks that jump, and who holds the lock."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import customize
from customize import CheckpointError, ModelError, Run, RunBusy, RunError
from customize.testing import ToyBackend
from customize.training import checkpoints, sealed
from customize.training.lock import held
from customize.training.loop import Loop

pytest.importorskip("customize_sft")

ROWS = [
    {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "yes " * n}]}
    for n in (1, 2, 3)
]
SETTINGS: dict[str, Any] = {
    "options": {"steps": 4, "batch_size": 2, "lr": 0.05},
    "checkpoint_every": 1,
}


def train(to: Path) -> Run:
    return customize.train(model="toy", data=ROWS, to=to, backend=ToyBackend(), **SETTINGS)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", ["with spaces", "Bäckerei 日本語 🍕", "a" * 200, "-rf", "50%"])
def test_a_run_lives_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    assert train(tmp_path / name).metrics
    answer = customize.open(tmp_path / name, backend=ToyBackend()).reply("a", max_tokens=4)
    assert isinstance(answer, str)


def test_places_where_no_folder_can_be_made_are_told_before_a_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyBackend, "load", lambda *given: pytest.fail("a model was loaded"))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").write_text("")
    for place in ("loop", "file", "file/in", "x" * 300):
        with pytest.raises(RunError, match=r"cannot be made"):
            train(tmp_path / place)


def test_a_cache_that_cannot_be_written_is_told_before_a_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyBackend, "load", lambda *given: pytest.fail("a model was loaded"))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ModelError, match="set CUSTOMIZE_CACHE"):
        train(tmp_path / "run")


def test_a_folder_that_may_not_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def read_only(self: Path, mode: str = "r", *given: Any, **more: Any) -> Any:
        if self.is_relative_to(tmp_path) and mode != "r":
            raise OSError(30, "Read-only file system")
        return opened(self, mode, *given, **more)

    (tmp_path / "run").mkdir()
    monkeypatch.setattr(Path, "open", read_only)
    with pytest.raises(RunError, match=r"\.lock could not be written: Read-only file system"):
        train(tmp_path / "run")


@pytest.mark.parametrize("name", ["recipe.json", "lineage.json", "metrics.jsonl"])
def test_a_damaged_file_of_the_folder_is_named(tmp_path: Path, name: str) -> None:
    train(tmp_path / "run")
    file = tmp_path / "run" / name
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 3] + b"\x00\xff" + content[len(content) // 2 :])
    with pytest.raises(RunError, match=rf"{name}.* is damaged"):
        read_all(tmp_path / "run")


def read_all(folder: Path) -> None:
    """What is read of a finished run."""
    run = customize.open(folder, backend=ToyBackend())
    assert run.metrics
    assert run.folder is not None
    assert run.folder.lineage()


def test_steps_that_are_missing_from_the_log_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "run")
    (tmp_path / "run" / "finished.json").unlink()
    log = tmp_path / "run" / "metrics.jsonl"
    log.write_text(log.read_text().replace('"step": 2', '"stepp: 2'))
    train(tmp_path / "run")
    assert "metrics.jsonl is damaged: 1 of 4 steps" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["adapter_model.safetensors", sealed.MANIFEST])
def test_weights_that_were_damaged_are_not_used(tmp_path: Path, name: str) -> None:
    run = train(tmp_path / "run")
    whole = run.reply("a", max_tokens=4)
    file = tmp_path / "run" / "adapter" / name
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    damaged = customize.open(tmp_path / "run", backend=ToyBackend())
    with pytest.raises(CheckpointError, match=name):
        damaged.reply("a")
    (tmp_path / "run" / "finished.json").unlink()
    assert train(tmp_path / "run").reply("a", max_tokens=4) == whole


def test_every_damage_of_a_real_checkpoint_is_found(tmp_path: Path) -> None:
    """1000 flipped bits, 200 truncations, 200 lost pages, bytes added, files missing and added."""
    train(tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints" / "step-00000004"
    chance = random.Random(0)
    files = sorted(sealed.files_in(folder).values())
    assert len(files) == 5
    for trial in range(1400):
        file = files[trial % len(files)]
        content = file.read_bytes()
        _overwrite(file, _damaged(content, trial, chance))
        fault = sealed.damage(folder)
        assert fault is not None, (trial, file)
        assert file.name in fault
        _overwrite(file, content)
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content + b"\0" * 100)
        assert file.name in str(sealed.damage(folder))
        file.unlink()
        assert file.name in str(sealed.damage(folder))
        file.write_bytes(content)
    assert sealed.damage(folder) is None


def _overwrite(file: Path, content: bytes) -> None:
    """In place: of a file that is emptied first, some file systems wait for the disk."""
    with file.open("r+b") as stream:
        stream.write(content)
        stream.truncate()


def _damaged(content: bytes, trial: int, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    if trial < 1000:
        return content[:at] + bytes([content[at] ^ (1 << trial % 8)]) + content[at + 1 :]
    if trial < 1200:
        return content[:at]
    start = at // 4096 * 4096
    page = content[start : start + 4096]
    # A page of zeros that is lost leaves the same file: then the whole of it is lost.
    return content[:start] + bytes(len(page)) + content[start + 4096 :] if any(page) else b""


def _fill(folder: Path) -> None:
    (folder / "a").write_bytes(b"a")


def test_checkpoints_are_taken_by_step_whatever_the_clock_said(tmp_path: Path) -> None:
    for step in (1, 2):
        made = checkpoints.write(tmp_path / "c", step, _fill, {})
        a_day_back = 2_000_000_000 - step * 86_400
        os.utime(made.folder, (a_day_back, a_day_back))
    found = checkpoints.latest(tmp_path / "c", pytest.fail)
    assert found is not None
    assert found.step == 2


def test_a_second_process_is_told_pid_machine_and_time(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(RunBusy) as refused:
        train(tmp_path)
    assert f"the process {os.getpid()} on {socket.gethostname()} since 20" in str(refused.value)


def test_a_disk_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_available(*given: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("customize.training.lock._lock", none_available)
    with pytest.raises(RunError, match="cannot be locked"):
        train(tmp_path)


def _signalled(to: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Loop._log

    def logging(self: Loop, step: int, metrics: Any) -> None:
        log(self, step, metrics)
        if step == 2:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Loop, "_log", logging)
    train(to)


def test_a_closed_terminal_ends_the_run_after_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup may have begun the tests
    try:
        with pytest.raises(SystemExit) as ended:
            _signalled(tmp_path / "run", signal.SIGHUP, monkeypatch)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert ended.value.code == 129
    assert (tmp_path / "run" / "checkpoints" / "step-00000002").is_dir()


def test_what_nohup_ignores_stays_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        _signalled(tmp_path / "run", signal.SIGHUP, monkeypatch)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (tmp_path / "run" / "finished.json").is_file()


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """In a process of its own, whose step never ends."""
    child = Path(__file__).with_name("toy_run.py")
    done = subprocess.run(
        [sys.executable, "-c", _STUCK, str(child), str(tmp_path / "run")], timeout=60
    )
    assert done.returncode == -signal.SIGTERM


_STUCK = """
import os, runpy, signal, sys, time
from customize.training.loop import Loop

def stuck(self, step, metrics):
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(50)

Loop._log = stuck
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0])
"""
