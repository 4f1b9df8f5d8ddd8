"""Runs on the toy backend: killed, stopped, damaged or crowded, nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import customize
from customize import (
    CheckpointError,
    CustomizeError,
    OptionError,
    Run,
    RunBusy,
    RunError,
    Unsupported,
)
from customize.testing import ToyBackend
from customize.training import checkpoints
from customize.training.lock import held
from customize.training.loop import Loop

pytest.importorskip("customize_sft")

ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"question {i}"},
            {"role": "assistant", "content": "yes " * (1 + i % 3)},
        ]
    }
    for i in range(6)
]
SETTINGS: dict[str, Any] = {
    "options": {"epochs": 3, "batch_size": 3, "lr": 0.05, "replay": 0.25},
    "checkpoint_every": 1,
    "seed": 3,
}
CHILD = Path(__file__).with_name("toy_run.py")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))


def train(to: Path, **settings: Any) -> Run:
    merged = {**SETTINGS, **settings}
    return customize.train(model="toy", data=ROWS, to=to, backend=ToyBackend(), **merged)


def test_what_was_recognised_and_left_out_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad: dict[str, Any] = {"messages": [{"role": "nobody", "content": "x"}]}
    settings = {**SETTINGS, "on_bad_rows": "skip"}
    customize.train(
        model="toy", data=[*ROWS, bad], to=tmp_path / "run", backend=ToyBackend(), **settings
    )
    said = capsys.readouterr().err
    assert "6 chat rows from OpenAI messages, 1 bad row skipped" in said
    assert "line 7: " in said


def test_an_instance_with_the_rate_of_lora_is_told_where_all_weights_are_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from customize_sft.method import SFT

    for number, (adapter, method) in enumerate(
        [("full", SFT(steps=1)), ("full", SFT(steps=1, lr=1e-4)), ({}, SFT(steps=1))]
    ):
        customize.train(
            model="toy", data=ROWS, method=method, adapter=adapter, backend=ToyBackend(),
            to=tmp_path / str(number),
        )  # fmt: skip
        told = "lr is 0.00025, right for LoRA; all weights want about 2.5e-05"
        assert (told in capsys.readouterr().err) == (number == 0)


def weights(folder: Path) -> bytes:
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes()


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A run that nobody disturbed."""
    train(tmp_path / "whole")
    return tmp_path / "whole"


def interrupt_after(
    step: int, monkeypatch: pytest.MonkeyPatch, number_sent: signal.Signals = signal.SIGINT
) -> None:
    """Ctrl-C as it comes from a terminal, or SIGTERM, while a step is logged."""
    log = Loop._log

    def logging(self: Loop, number: int, metrics: Any) -> None:
        log(self, number, metrics)
        if number == step:
            os.kill(os.getpid(), number_sent)

    monkeypatch.setattr(Loop, "_log", logging)


def test_two_runs_of_one_seed_are_bit_equal(whole: Path, tmp_path: Path) -> None:
    other = train(tmp_path / "other")
    assert weights(whole) == weights(tmp_path / "other")
    assert other.metrics == customize.open(whole, backend=ToyBackend()).metrics


def test_another_seed_gives_another_run(whole: Path, tmp_path: Path) -> None:
    train(tmp_path / "other", seed=4)
    assert weights(whole) != weights(tmp_path / "other")


@pytest.mark.parametrize("step", range(1, 8))
def test_stopped_at_any_step_and_resumed_it_is_bit_equal(
    whole: Path, tmp_path: Path, step: int
) -> None:
    folder = tmp_path / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        interrupt_after(step, patch)
        with pytest.raises(KeyboardInterrupt):
            train(folder)
    train(folder)
    assert weights(folder) == weights(whole)
    assert (folder / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


def test_sigterm_saves_the_step_and_ends_with_its_code(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        interrupt_after(3, patch, signal.SIGTERM)
        with pytest.raises(SystemExit) as ended:
            train(folder)
    assert ended.value.code == 143
    assert (folder / "checkpoints" / "step-00000003").is_dir()
    train(folder)
    assert weights(folder) == weights(whole)


def test_stopped_at_any_step_and_resumed_in_a_fresh_process_it_is_bit_equal(
    whole: Path, tmp_path: Path
) -> None:
    folders = [tmp_path / f"stopped after {step}" for step in range(1, 8)]
    for step, folder in enumerate(folders, start=1):
        with pytest.MonkeyPatch.context() as patch:
            interrupt_after(step, patch)
            with pytest.raises(KeyboardInterrupt):
                train(folder)
    resumed = [sys.executable, str(CHILD), *map(str, folders)]  # one process, which began none
    subprocess.run(resumed, check=True)
    for folder in folders:
        assert weights(folder) == weights(whole)
        assert (folder / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


def test_killed_at_random_moments_it_is_bit_equal_and_never_mixed(tmp_path: Path) -> None:
    script = CHILD.with_name("kill_resume.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), "6"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "6 kills landed" in done.stdout


def test_a_finished_run_is_left_alone(whole: Path) -> None:
    before = weights(whole)
    assert train(whole).metrics
    assert weights(whole) == before


def test_a_recipe_that_differs_is_refused_and_its_keys_named(whole: Path) -> None:
    with pytest.raises(RunError, match=r"seed: 3 there, 9 now"):
        train(whole, seed=9)
    with pytest.raises(RunError, match=r"\n  options\.epochs: 3\.0 there, 4\.0 now\n"):
        train(whole, options={**SETTINGS["options"], "epochs": 4})


def test_changed_data_are_refused(whole: Path) -> None:
    with pytest.raises(RunError, match="data: "):
        customize.train(
            model="toy", data=[*ROWS[1:], ROWS[0]], to=whole, backend=ToyBackend(), **SETTINGS
        )


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"notes\.txt"):
        train(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "rows",
    ["nothere.jsonl", [], [{"chosen": "yes", "rejected": "no"}]],
    ids=["none", "empty", "kind"],
)
def test_rows_that_cannot_be_used_leave_no_folder(tmp_path: Path, rows: Any) -> None:
    to = tmp_path / "run"
    with pytest.raises(CustomizeError):
        customize.train(model="toy", data=rows, to=to, backend=ToyBackend(), **SETTINGS)
    assert not to.exists()


def test_a_second_process_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(RunBusy, match=str(os.getpid())):
        train(tmp_path)


def test_a_lock_of_a_dead_process_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("999999")
    assert train(tmp_path).folder is not None


def test_an_unknown_setting_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="did you mean 'patience'"):
        train(tmp_path, patiense=1)
    assert not list(tmp_path.iterdir())


def test_rows_left_out_are_told_and_each_is_kept_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = {"messages": [{"role": "user", "content": "no answer"}, {"role": "assistant"}]}
    customize.train(
        model="toy",
        data=[ROWS[0], bad, ROWS[1]],
        to=tmp_path / "run",
        backend=ToyBackend(),
        on_bad_rows="skip",
        **SETTINGS,
    )
    told = capsys.readouterr().err
    assert "2 chat rows from OpenAI messages, 1 bad row skipped" in told
    assert "line 2: " in told
    (kept,) = (tmp_path / "run" / "skipped.jsonl").read_text().splitlines()
    assert json.loads(kept)["line"] == 2
    assert json.loads(kept)["reason"]


def test_patience_stops_a_run_that_gets_no_better(tmp_path: Path) -> None:
    run = train(
        tmp_path,
        validation=[{**ROWS[0], "messages": [ROWS[0]["messages"][0], _answer("~~~~")]}],
        evaluate_every=1,
        patience=2,
        keep_best=True,
    )
    losses = [m["validation_loss"] for m in run.metrics]
    assert len(losses) < 8
    assert min(losses) == losses[-3]
    rows = customize.read([{"messages": [ROWS[0]["messages"][0], _answer("~~~~")]}])
    from customize_sft.method import SFT

    assert SFT().validate(run.customized, rows)["validation_loss"] == pytest.approx(losses[-3])


def _answer(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def test_a_run_answers_and_streams_the_same(whole: Path) -> None:
    run = customize.open(whole, backend=ToyBackend())
    said = run.reply("question 1", max_tokens=12)
    assert said == "".join(run.reply("question 1", max_tokens=12, stream=True)).strip()


def test_a_run_is_evaluated_against_its_base(whole: Path) -> None:
    run = customize.open(whole, backend=ToyBackend())
    rows = [{**ROWS[0], "expect": {"includes": "yes"}}]
    assert run.evaluate(rows).columns == ("base", "customized")
    assert run.evaluate(rows, prompts="Say yes.").columns == ("base", "prompted", "customized")


def test_a_run_is_not_its_base(whole: Path) -> None:
    run = customize.open(whole, backend=ToyBackend())
    rendered = run.base.renderer.render(ROWS[0]["messages"])
    batch = customize.Batch.from_sequences([(rendered.tokens, {"weights": rendered.weights})])
    customized, base = (s.forward(batch).result() for s in (run.customized, run.base))
    assert customized.sum() > base.sum() + 1


def _checkpoint_files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            yield file


def _damage(file: Path, kind: str) -> None:
    content = bytearray(file.read_bytes())
    if kind == "missing":
        file.unlink()
        return
    if kind == "flipped bit":
        content[len(content) // 2] ^= 1
    elif kind == "truncation":
        content = content[: len(content) // 2]
    else:
        content[:4096] = bytes(len(content[:4096]))
    file.write_bytes(content)


def test_damage_of_any_file_of_a_real_checkpoint_is_named_and_the_one_before_is_used(
    whole: Path,
) -> None:
    folder = whole / "checkpoints"
    before, newest = sorted(folder.iterdir())
    for file in list(_checkpoint_files(newest)):
        name, content = file.relative_to(newest).as_posix(), file.read_bytes()
        for kind in ("flipped bit", "truncation", "zeroed page", "missing"):
            _damage(file, kind)
            told: list[str] = []
            found = checkpoints.latest(folder, told.append)
            assert found is not None
            assert found.folder == before, (name, kind)
            assert name in told[0], (name, kind)
            file.write_bytes(content)
    found = checkpoints.latest(folder, pytest.fail)
    assert found is not None
    assert found.folder == newest


def test_every_file_of_a_real_checkpoint_is_in_its_manifest(whole: Path) -> None:
    folder = sorted((whole / "checkpoints").iterdir())[-1]
    files = {f.relative_to(folder).as_posix() for f in _checkpoint_files(folder)}
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    assert files == {*manifest["files"], "MANIFEST.json"}


def test_a_full_disk_leaves_the_old_checkpoint_and_says_what_to_do(tmp_path: Path) -> None:
    # What the lambda gives, 0 or None to the checker, is not used.
    checkpoints.write(tmp_path, 1, lambda folder: (folder / "a").write_text("a") and None, {})  # type: ignore[arg-type]

    def full(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(CheckpointError, match="free some space"):
        checkpoints.write(tmp_path, 2, full, {})
    found = checkpoints.latest(tmp_path, pytest.fail)
    assert found is not None
    assert found.step == 1
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"]


def test_what_the_backend_lacks_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="SFT needs sample, which the backend 'toy'"):
        customize.train(
            model="toy",
            data=ROWS,
            to=tmp_path / "run",
            backend=ToyBackend(without={"sample"}),
            **SETTINGS,
        )
    assert not (tmp_path / "run").exists()
