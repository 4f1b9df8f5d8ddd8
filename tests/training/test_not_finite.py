"""Steps whose numbers are not finite: named, left out where that is allowed, counted."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, ClassVar, Literal

import attrs
import numpy as np
import pytest

import customize
from customize import AdamW, Batch, CrossEntropy, LoRA, NonFiniteError, Run, Session
from customize.testing import ToyBackend, toy
from customize.training.loop import Loop
from customize.training.not_finite import TolerantSession

for plugin in ("sft", "dpo", "grpo"):
    pytest.importorskip(f"customize_{plugin}")

BAD = "!"
ANSWERS = ("yes", "no", f"oh{BAD}", "maybe")


def _question(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"question {number}"}]


CHAT = [
    {"messages": [*_question(i), {"role": "assistant", "content": answer}]}
    for i, answer in enumerate(ANSWERS)
]
PAIRS = [
    {"prompt": f"question {i}", "chosen": answer, "rejected": "~"}
    for i, answer in enumerate(ANSWERS)
]
PROMPTS = [{"prompt": f"question {BAD if i == 2 else i}"} for i in range(len(ANSWERS))]


def _varied(completion: str) -> float:
    return float(len(completion) % 3 + completion.count("a"))


# Each row once in four steps, and the third of them is bad.
OPTIONS = {"steps": 8, "batch_size": 1, "lr": 0.05}
WORK: dict[str, dict[str, Any]] = {
    "sft": {"data": CHAT, "options": OPTIONS},
    "dpo": {"data": PAIRS, "options": OPTIONS},
    "grpo": {
        "data": PROMPTS,
        "reward": _varied,
        "options": {**OPTIONS, "group_size": 4, "max_tokens": 6, "refill": 0},
    },
}


@pytest.fixture(autouse=True)
def _breaking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever trains on a sequence with the bad character has log-probabilities of NaN there."""
    plain_logprobs, plain_gradient = toy._logprobs, toy._gradient

    def is_bad(batch: Batch) -> Any:
        return np.repeat(batch.sum_by_sequence(batch.tokens == ord(BAD)) > 0, batch.lengths)

    def logprobs(table_VV: Any, batch: Batch) -> Any:
        given = plain_logprobs(table_VV, batch)
        spoilt = is_bad(batch) & batch.scored & ("row" in batch.sequence_columns)
        return np.where(spoilt, np.float32(math.nan), given)

    def gradient(table_VV: Any, batch: Batch, gradient_N: Any) -> Any:
        spoilt = np.where(is_bad(batch) & batch.scored, math.nan, gradient_N)
        return plain_gradient(table_VV, batch, spoilt)

    monkeypatch.setattr(toy, "_logprobs", logprobs)
    monkeypatch.setattr(toy, "_gradient", gradient)


def train(to: Path, method: str, **settings: Any) -> Run:
    given = {"checkpoint_every": 1, "seed": 3, **WORK[method], **settings}
    return customize.train(model="toy", method=method, backend=ToyBackend(), to=to, **given)


def outcome(folder: Path) -> tuple[bytes, list[dict[str, Any]]]:
    weights = (folder / "adapter" / "adapter_model.safetensors").read_bytes()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return weights, [{k: v for k, v in line.items() if k[-2:] != "_s"} for line in lines]


@pytest.mark.parametrize("method", WORK)
def test_a_run_stops_at_the_first_unless_told_otherwise_and_names_the_row(
    tmp_path: Path, method: str
) -> None:
    with pytest.raises(NonFiniteError) as told:
        train(tmp_path, method)
    assert ("line 3" if method == "dpo" else "row 3") in str(told.value)
    assert "higher skip_not_finite" in str(told.value)


@pytest.mark.parametrize("method", WORK)
def test_as_many_as_allowed_are_left_out_counted_and_told(
    tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(tmp_path, method, skip_not_finite=2)
    counts = [line.get("left_out", 0.0) for line in run.metrics]
    assert counts[-1] == 2.0
    assert counts == sorted(counts)
    for before, now, line in zip([0.0, *counts], counts, run.metrics, strict=False):
        assert ("grad_norm" in line) == (now == before)
        assert all(math.isfinite(value) for value in line.values())
    said = capsys.readouterr().err
    assert said.count("is left out, ") == 2
    assert ("line 3" if method == "dpo" else "row 3") in said
    assert "2 of 8 steps were left out" in said
    finished = json.loads((tmp_path / "finished.json").read_text())
    assert finished["metrics"]["left_out"] == 2.0


def test_a_step_that_is_left_out_moves_nothing(tmp_path: Path) -> None:
    plain = ToyBackend().load().open(LoRA())
    session = TolerantSession(plain, allowed=2)
    good, bad = (
        Batch.from_sequences([([ord(c) for c in text], {"weights": np.ones(len(text))})])
        for text in ("yes", f"oh{BAD}")
    )
    session.forward_backward(good, CrossEntropy())
    assert session.optim_step(AdamW()).result() > 0
    for loss in (CrossEntropy(), Refusing()):
        before = _saved(plain, tmp_path / f"{loss} before")
        session.forward_backward(good, CrossEntropy())
        session.forward_backward(bad, loss)
        norm = session.optim_step(AdamW())
        assert math.isnan(norm.result())
        assert math.isnan(norm.result())
        assert _saved(plain, tmp_path / f"{loss} after") == before
    assert session.left_out == 2


@attrs.frozen
class Refusing:
    couples: ClassVar[Literal["group"]] = "group"

    def evaluate(self, logprobs: Any, batch: Batch) -> Any:
        raise NonFiniteError("this pair is not finite")


def _saved(session: Session, folder: Path) -> tuple[bytes, str]:
    folder.mkdir()
    session.save(folder)
    return (folder / "state.safetensors").read_bytes(), (folder / "state.json").read_text()


@pytest.mark.parametrize("method", WORK)
def test_one_more_stops_and_more_patience_goes_on_as_if_it_had_never_stopped(
    tmp_path: Path, method: str
) -> None:
    train(tmp_path / "whole", method, skip_not_finite=2)
    with pytest.raises(NonFiniteError, match="1 steps were left out") as told:
        train(tmp_path / "run", method, skip_not_finite=1)
    newest = max((tmp_path / "run" / "checkpoints").glob("step-*"))
    assert f"the last good checkpoint is {newest}" in str(told.value)
    train(tmp_path / "run", method, skip_not_finite=2)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")


def test_a_count_outlives_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    log = Loop._log

    def dying(self: Loop, number: int, metrics: Any) -> None:
        log(self, number, metrics)
        if number == 6:
            raise Killed

    train(tmp_path / "whole", "sft", skip_not_finite=2)
    with monkeypatch.context() as patch, pytest.raises(Killed):  # noqa: PT012 - it patches
        patch.setattr(Loop, "_log", dying)
        train(tmp_path / "run", "sft", skip_not_finite=2)
    train(tmp_path / "run", "sft", skip_not_finite=2)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
