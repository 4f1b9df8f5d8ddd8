"""SFT on the toy backend: the mean over trained tokens, in an order that is a function of seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import customize
from customize import AdamW, Batch, CrossEntropy, DataError, LoRA, OptionError, Session
from customize.testing import ToyBackend
from customize_sft.method import SFT

Rows = Sequence[Mapping[str, Any]]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))


def chats(n: int, **columns: object) -> customize.Dataset:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"question {i}"},
                {"role": "assistant", "content": "yes" * (1 + i % 3)},
            ],
            **columns,
        }
        for i in range(n)
    ]
    return customize.read(rows)


def open_session(seed: int = 0) -> Session:
    return ToyBackend().load(None).open(LoRA(), seed)


def render(session: Session, data: customize.Dataset) -> list[customize.Rendered]:
    return [session.renderer.render(data[i]["messages"]) for i in range(len(data))]


def test_it_learns() -> None:
    session, data = open_session(), chats(8)
    method = SFT(lr=0.3, epochs=10, batch_size=4)
    before = method.validate(session, data)["validation_loss"]
    steps = list(method.train(session, data))
    assert [s.number for s in steps] == list(range(1, method.num_steps(data) + 1))
    assert method.validate(session, data)["validation_loss"] < 0.5 * before


def test_the_loss_is_the_mean_over_trained_tokens_of_the_whole_batch() -> None:
    session, data = open_session(), chats(3)
    rendered = render(session, data)
    batch = Batch.from_sequences([(r.tokens, {"weights": r.weights}) for r in rendered])
    logprobs = session.forward(batch).result()
    expected = -(logprobs * batch.weights).sum() / batch.weights.sum()
    step = next(iter(SFT(batch_size=3, epochs=1).train(session, data)))
    assert step.metrics["loss"] == pytest.approx(expected, rel=1e-5)


def test_one_step_is_adamw_on_that_mean() -> None:
    session, other, data = open_session(), open_session(), chats(3)
    list(SFT(batch_size=3, epochs=1, steps=1, lr=0.1, warmup=0.0).train(session, data))
    rendered = render(other, data)
    batch = Batch.from_sequences([(r.tokens, {"weights": r.weights}) for r in rendered])
    batch = batch.with_columns(weights=batch.weights / batch.weights.sum())
    other.forward_backward(batch, CrossEntropy())
    other.optim_step(AdamW(lr=0.1)).result()
    after = [s.forward(batch).result() for s in (session, other)]
    np.testing.assert_allclose(after[0], after[1], rtol=1e-5, atol=1e-7)


def test_a_row_of_weight_zero_changes_nothing_and_a_row_of_two_counts_twice() -> None:
    plain = chats(2)
    doubled = [dict(plain[i]) for i in range(2)]
    doubled[0]["weight"] = 2.0
    repeated = [plain[0], plain[0], plain[1]]
    losses = [
        next(iter(SFT(batch_size=n, epochs=1).train(open_session(), customize.read(rows)))).metrics
        for rows, n in ((doubled, 2), ([dict(r) for r in repeated], 3))
    ]
    assert losses[0]["loss"] == pytest.approx(losses[1]["loss"], rel=1e-5)


def test_replay_rows_are_the_bases_own_answers() -> None:
    data = chats(6)
    method = SFT(replay=0.5, epochs=1, batch_size=4)
    assert method.num_steps(data) == 3
    step = next(iter(method.train(open_session(), data)))
    assert len(step.state["replay_lengths"]) == 6


def test_kl_to_base_keeps_the_model_nearer_to_its_base() -> None:
    data = chats(6)
    distances = []
    for strength in (1e-6, 5.0):
        method = SFT(replay=0.5, kl_to_base=strength, lr=0.1, epochs=8, batch_size=6)
        steps = list(method.train(open_session(), data))
        distances.append(np.mean([s.metrics.get("kl_to_base", 0.0) for s in steps[-4:]]))
    assert distances[1] < distances[0]


def test_kl_to_base_without_replay_is_refused() -> None:
    with pytest.raises(OptionError, match="set replay too"):
        SFT(kl_to_base=0.1)


def test_a_row_that_is_too_long_is_refused_by_number() -> None:
    with pytest.raises(DataError, match="more than max_length 5"):
        list(SFT(max_length=5).train(open_session(), chats(2)))


def test_a_weight_that_is_no_number_is_refused_by_row() -> None:
    class Wrong:
        kind, fingerprint = "chat", "0"

        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int, /) -> Mapping[str, Any]:
            return {**chats(1)[0], "weight": "much"}

    with pytest.raises(DataError, match="row 1: weight must be a number"):
        list(SFT().train(open_session(), Wrong()))


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"epochs": 0.0}, {"schedule": "sawtooth"}])
def test_an_option_out_of_bounds_is_refused_and_says_what_is_allowed(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=r"must be"):
        SFT(**wrong)
