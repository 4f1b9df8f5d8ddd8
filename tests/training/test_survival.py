"""Moments at which a run may die, or its disk fail, that random kills seldom meet."""

from __future__ import annotations

import math
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import customize
from customize import CheckpointError, NonFiniteError, OutOfMemoryError, Run
from customize.runs.folder import RunFolder
from customize.testing import ToyBackend
from customize.training import checkpoints, sealed

pytest.importorskip("customize_sft")

QUESTION = {"role": "user", "content": "question"}
ROWS = [{"messages": [QUESTION, {"role": "assistant", "content": "yes " * n}]} for n in (1, 2, 3)]
HELD_OUT = [{"messages": [QUESTION, {"role": "assistant", "content": "~~~~"}]}]
SETTINGS: dict[str, Any] = {
    "options": {"steps": 8, "batch_size": 2, "lr": 0.05},
    "checkpoint_every": 1,
}
MEASURED: dict[str, Any] = {"validation": HELD_OUT, "evaluate_every": 1, "patience": 2}


class Died(BaseException):
    """As a kill: no handler of ours stops it."""


def train(to: Path, **settings: Any) -> Run:
    merged = {**SETTINGS, **settings}
    return customize.train(model="toy", data=ROWS, to=to, backend=ToyBackend(), **merged)


def outcome(folder: Path) -> tuple[bytes, str]:
    weights = (folder / "adapter" / "adapter_model.safetensors").read_bytes()
    return weights, (folder / "metrics.jsonl").read_text()


@contextmanager
def dying_at(name: str) -> Iterator[None]:
    """The process dies where the run folder's file ``name`` would be written."""
    write = RunFolder._write

    def dying(self: RunFolder, file: str, value: Any) -> None:
        if file == name:
            raise Died
        write(self, file, value)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Died):  # noqa: PT012 - it patches
        patch.setattr(RunFolder, "_write", dying)
        yield


@pytest.mark.parametrize("name", ["lineage.json", "recipe.json", "finished.json"])
@pytest.mark.parametrize("settings", [{}, MEASURED, {**MEASURED, "keep_best": True}])
def test_death_before_any_file_of_the_folder_changes_nothing(
    tmp_path: Path, name: str, settings: dict[str, Any]
) -> None:
    train(tmp_path / "whole", **settings)
    with dying_at(name):
        train(tmp_path / "died", **settings)
    train(tmp_path / "died", **settings)
    assert outcome(tmp_path / "died") == outcome(tmp_path / "whole")


def _fill(folder: Path) -> None:
    (folder / "a").write_text("a")


def test_a_new_checkpoint_outlives_damaged_ones_of_later_steps(tmp_path: Path) -> None:
    for step in (7, 8, 1):
        checkpoints.write(tmp_path, step, _fill, {})
        if step > 1:
            (tmp_path / f"step-{step:08d}" / "a").write_text("b")
    found = checkpoints.latest(tmp_path, lambda text: None)
    assert found is not None
    assert found.step == 1


def test_a_run_goes_on_past_damage_and_has_two_whole_checkpoints_again(tmp_path: Path) -> None:
    train(tmp_path / "whole")
    with dying_at("finished.json"):
        train(tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints"
    for checkpoint in folder.iterdir():
        (checkpoint / "step.json").write_text("{}")
    train(tmp_path / "run")
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
    assert [sealed.damage(p) for p in sorted(folder.glob("step-*"))] == [None, None]
    assert len(list(folder.glob("damaged-*"))) == 2


def test_a_file_that_the_manifest_does_not_know_is_named(tmp_path: Path) -> None:
    made = checkpoints.write(tmp_path, 1, _fill, {})
    (made.folder / "more").write_text("more")
    assert "more" in str(sealed.damage(made.folder))


def test_a_limit_on_file_size_keeps_the_checkpoints_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's own refusal, met inside safetensors, which has an error of its own."""
    write = checkpoints.write
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limited(folder: Path, step: int, *rest: Any) -> checkpoints.Checkpoint:
        if step == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (600, before[1]))
        return write(folder, step, *rest)

    monkeypatch.setattr(checkpoints, "write", limited)
    try:
        with pytest.raises(CheckpointError, match="step 3"):
            train(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    folder = tmp_path / "checkpoints"
    assert sorted(p.name for p in folder.iterdir()) == ["step-00000001", "step-00000002"]


def test_a_line_of_metrics_cut_by_a_kill_is_left_out(tmp_path: Path) -> None:
    run = train(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 9, "lo')
    assert len(run.metrics) == 8


def test_a_measure_that_is_not_finite_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from customize_sft.method import SFT

    monkeypatch.setattr(SFT, "validate", lambda *given: {"validation_loss": math.nan})
    with pytest.raises(NonFiniteError, match="validation_loss is not finite; no step was saved"):
        train(tmp_path, **MEASURED)


def test_a_step_is_saved_whose_measure_does_not_fit_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from customize_sft.method import SFT

    def run_out(*given: Any) -> None:
        raise OutOfMemoryError("memory does not hold a sequence: a smaller model")

    settings = {**MEASURED, "evaluate_every": 3, "checkpoint_every": 100}
    with monkeypatch.context() as patched:
        patched.setattr(SFT, "validate", run_out)
        with pytest.raises(OutOfMemoryError, match=r"smaller model\n.*checkpoint is .*3"):
            train(tmp_path / "run", **settings)
    resumed = train(tmp_path / "run", **settings)
    undisturbed = train(tmp_path / "other", **settings)
    assert [row["loss"] for row in resumed.metrics] == [row["loss"] for row in undisturbed.metrics]
