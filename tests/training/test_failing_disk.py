"""A kill, a failing call and a power cut at every single call that changes a run's folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from watched import Died, Watch, dying_at

import customize
from customize import RunError
from customize.testing import ToyBackend
from customize.training import checkpoints, sealed

pytest.importorskip("customize_sft")

QUESTION = {"role": "user", "content": "question"}
ROWS = [{"messages": [QUESTION, {"role": "assistant", "content": "yes " * n}]} for n in (1, 2, 3)]
SETTINGS: dict[str, Any] = {
    "options": {"steps": 3, "batch_size": 2, "lr": 0.05},
    "checkpoint_every": 1,
    "validation": [{"messages": [QUESTION, {"role": "assistant", "content": "yes no"}]}],
    "evaluate_every": 2,
    "keep_best": True,
    "evaluate": False,
}


def train(to: Path) -> None:
    customize.train(model="toy", data=ROWS, to=to, backend=ToyBackend(), **SETTINGS)


def outcome(folder: Path) -> tuple[bytes, str]:
    weights = (folder / "adapter" / "adapter_model.safetensors").read_bytes()
    return weights, (folder / "metrics.jsonl").read_text()


def newest(folder: Path) -> int:
    """The step of the newest whole checkpoint; 0 without one."""
    found = checkpoints.latest(folder / "checkpoints", lambda text: None)
    return found.step if found else 0


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """A run that nobody disturbed, and its calls."""
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    watch = Watch(tmp_path / "whole")
    with watch.watching():
        train(watch.root)
    return watch


def interrupted(folder: Path, before: Callable[[int], None]) -> Watch:
    watch = Watch(folder, before)
    with watch.watching():
        train(folder)
    return watch


@pytest.mark.slow
def test_killed_at_any_call_a_checkpoint_is_whole_and_the_run_goes_on(
    whole: Watch, tmp_path: Path
) -> None:
    wanted = outcome(whole.root)
    assert len(whole.log) > 100
    for number in range(1, len(whole.log)):
        folder = tmp_path / f"killed-{number}"
        with pytest.raises(Died):
            interrupted(folder, dying_at(number))
        log = folder / "metrics.jsonl"
        logged = len(log.read_text().splitlines()) if log.exists() else 0
        assert newest(folder) >= logged - 1, whole.log[number]
        train(folder)
        assert outcome(folder) == wanted, whole.log[number]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
def test_a_call_that_fails_is_told_plainly_and_loses_nothing(
    whole: Watch, tmp_path: Path, code: int
) -> None:
    wanted = outcome(whole.root)
    first = [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT].index(code) + 1
    for number in range(first, len(whole.log), 4):

        def failing(now: int, number: int = number) -> None:
            if now == number:
                raise OSError(code, os.strerror(code))

        folder = tmp_path / f"failed-{number}"
        told = _told(folder, failing)
        if told is not None:
            assert os.strerror(code) in told, whole.log[number]
            assert "the same command again" in told
        train(folder)
        assert outcome(folder) == wanted, whole.log[number]


def _told(folder: Path, failing: Callable[[int], None]) -> str | None:
    """The error's message; None where the call was not needed (what is old was not removed)."""
    try:
        interrupted(folder, failing)
    except RunError as error:
        return str(error)
    return None


@pytest.mark.parametrize("names_survive", [False, True], ids=["nothing", "names"])
def test_a_power_cut_at_any_call_loses_no_checkpoint_that_was_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names_survive: bool
) -> None:
    """What was not synced is gone, or only its name is there."""
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    promised: list[int] = []

    def cut(number: int) -> None:
        promised.append(_promised(watch.log))
        watch.after_a_power_cut(tmp_path / f"cut-{number}", names_survive)

    watch = Watch(tmp_path / "whole", lambda number: cut(number) if number else None)
    with watch.watching():
        train(watch.root)
    wanted = outcome(watch.root)
    assert max(promised) == 3
    for number, step in enumerate(promised, start=1):
        folder = tmp_path / f"cut-{number}"
        assert newest(folder) >= step, watch.log[number]
        train(folder)
        assert outcome(folder) == wanted, watch.log[number]


def _promised(log: list[tuple[str, str]]) -> int:
    """The last step whose checkpoint was renamed, and whose folder was synced after that."""
    step = renamed = 0
    for call, path in log:
        if call == "rename" and ".step-" in path:
            renamed = int(path.split("-")[1].split(".")[0])
        elif (call, path) == ("fsync", "checkpoints"):
            step = renamed
    return step


def test_content_is_synced_before_the_manifest_before_the_name_before_the_folder(
    whole: Watch,
) -> None:
    for step in (1, 2, 3):
        beside = f"checkpoints/.step-{step:08d}.writing"
        manifest = f"{beside}/{sealed.MANIFEST}"
        synced = {path: i for i, (call, path) in enumerate(whole.log) if call == "fsync"}
        renamed = whole.log.index(("rename", beside))
        parts = ["session/state.json", "session/state.safetensors", "step.json", "step.safetensors"]
        content = [synced[f"{beside}/{part}"] for part in [*parts, "session"]]
        assert max(content) < whole.log.index(("open", manifest)) < synced[manifest]
        assert synced[manifest] < synced[beside] < renamed
        assert whole.log[renamed + 1] == ("fsync", "checkpoints")
        log = [i for i, call in enumerate(whole.log) if call == ("fsync", "metrics.jsonl")]
        assert any(i < renamed for i in log)
