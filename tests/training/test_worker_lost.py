"""A backend whose workers are lost: the run goes on from its checkpoint, but not for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import customize
from customize import AdamW, WorkerLost
from customize.testing import ToyBackend, toy

ROWS = [
    {"messages": [{"role": "user", "content": f"{n}"}, {"role": "assistant", "content": "yes"}]}
    for n in range(8)
]


def trained(to: Path, **more: Any) -> customize.Run:
    pytest.importorskip("customize_sft")
    return customize.train(
        model="toy",
        data=ROWS,
        to=to,
        backend=ToyBackend(),
        checkpoint_every=1,
        options={"steps": 4, "batch_size": 2},
        **more,
    )


def lost_at(monkeypatch: pytest.MonkeyPatch, *calls: int) -> list[int]:
    """Workers are gone at these optimizer steps, counted over all attempts."""
    step = toy.ToySession.optim_step
    asked: list[int] = []

    def losing(self: toy.ToySession, optimizer: AdamW) -> Any:
        asked.append(len(asked) + 1)
        if asked[-1] in calls:
            raise WorkerLost("worker 1 is gone")
        return step(self, optimizer)

    monkeypatch.setattr(toy.ToySession, "optim_step", losing)
    return asked


def test_it_goes_on_from_its_last_checkpoint_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = trained(tmp_path / "whole")
    asked = lost_at(monkeypatch, 2, 4)
    lost = trained(tmp_path / "lost")
    assert whole.folder is not None
    assert lost.folder is not None
    assert lost.folder.metrics() == whole.folder.metrics()
    assert len(asked) == 4 + 2
    assert capsys.readouterr().err.count("the run goes on from its last checkpoint") == 2


def test_lost_again_and_again_at_one_checkpoint_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = lost_at(monkeypatch, *range(3, 100))
    with pytest.raises(WorkerLost, match="worker 1 is gone"):
        trained(tmp_path / "run")
    assert len(asked) == 2 + 3


@pytest.mark.parametrize("said", [True, False])
def test_lost_in_the_evaluation_that_ends_a_run_others_answer_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], said: bool
) -> None:
    rows = [{"prompt": f"{n}", "completion": "yes", "expect": {"includes": "y"}} for n in range(40)]
    sample = toy.ToySnapshot.sample
    lost: list[toy.ToySnapshot] = []
    asked = 0

    def losing(self: toy.ToySnapshot, prompts: Any, *rest: Any) -> Any:
        nonlocal asked
        if not lost and asked:
            lost.append(self)
        if self in lost:
            raise WorkerLost("worker 1 is gone")
        asked += len(prompts)
        return sample(self, prompts, *rest)

    monkeypatch.setattr(toy.ToySnapshot, "sample", losing)
    run = trained(tmp_path / "run", validation=rows, **({"evaluate": {}} if said else {}))
    assert run.folder is not None
    told = capsys.readouterr().err
    assert told.count("worker 1 is gone: the evaluation goes on from the answers that are") == 1
    assert (run.folder.evaluation / "report.html").is_file()
    assert asked == 2 * len(rows)  # by the base and the customized model, none of them twice
    assert run.reply("1") is not None


def test_lost_in_the_evaluation_again_and_again_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def losing(self: toy.ToySnapshot, *rest: Any) -> Any:
        asked.append(1)
        raise WorkerLost("worker 1 is gone")

    monkeypatch.setattr(toy.ToySnapshot, "sample", losing)
    rows = [{"prompt": "1", "completion": "yes", "expect": {"includes": "y"}}]
    with pytest.raises(WorkerLost, match="worker 1 is gone"):
        trained(tmp_path / "run", validation=rows, evaluate={"max_tokens": 3})
    assert len(asked) == 3
