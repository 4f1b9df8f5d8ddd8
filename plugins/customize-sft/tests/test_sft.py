"""SFT on the toy backend: the mean over trained tokens, in an order that is a function of seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import customize
import customize.testing
from customize import AdamW, Batch, CrossEntropy, DataError, LoRA, OptionError, Session
from customize.testing import ToyBackend
from customize_sft.method import SFT
from customize_sft.rows import Rows as SFTRows

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


def replayed(method: SFT, num_rows: int) -> Sequence[bytes]:
    """The tokens of each replay row, the prompt's and the answer's."""
    step = next(iter(method.train(open_session(), chats(num_rows))))
    cuts = np.cumsum(step.state["replay_lengths"])[:-1]
    return [tokens.tobytes() for tokens in np.split(step.state["replay_tokens"], cuts)]


@pytest.mark.parametrize("kl_to_base", [0.0, 0.5])
def test_more_replay_rows_than_prompts_are_further_answers_to_them(kl_to_base: float) -> None:
    method = SFT(replay=0.25, kl_to_base=kl_to_base, batch_size=4)
    few, many = replayed(method, 360), replayed(method, 480)
    assert (len(few), len(many)) == (120, 160)
    assert many[:120] == few
    assert len(set(many)) == 160  # none is there twice
    assert method.num_steps(chats(480)) == 3 * 640 / 4


def test_fewer_replay_rows_than_asked_for_are_said_with_both_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("customize_sft.replay._ANSWERS_A_PROMPT", 1)
    told = r"replay=0\.5 asks for 130 replay rows .* 120 are made, 48\.0% of all"
    with pytest.warns(UserWarning, match=told):
        assert len(replayed(SFT(replay=0.5), 130)) == 120


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
    with pytest.raises(DataError, match="more than max_length 5: raise max_length, or shorten"):
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


def told(system: str | None, question: str) -> dict[str, Any]:
    begun = [] if system is None else [{"role": "system", "content": system}]
    asked = {"role": "user", "content": question}
    return {"messages": [*begun, asked, {"role": "assistant", "content": "yes"}]}


def rows_of(data: customize.Dataset, together: int) -> SFTRows:
    rendered = render(open_session(), data)
    return SFTRows(data, rendered, [], 100, SFT.shorten, together)


def test_rows_of_one_system_message_are_a_group() -> None:
    data = customize.read([told(s, f"{n}") for n, s in enumerate(["a", None, "b", "a", None])])
    assert rows_of(data, 1).batch(range(5)).groups.tolist() == [0, 1, 2, 0, 1]


def test_rows_of_one_value_of_together_are_a_group() -> None:
    rows = [{**told("a", f"{n}"), "together": key} for n, key in enumerate([1, 1, 2, None, 2])]
    data = customize.read([*rows, told("a", "5")])
    assert rows_of(data, 1).batch(range(6)).groups.tolist() == [0, 0, 1, 2, 1, 2]


def test_neighbours_of_one_system_message_stay_together_where_they_are_few() -> None:
    systems = ["a", "a", "b", "b", "b", None, None, "c", "c", "c", "c", "a"]
    data = customize.read([told(s, f"{n}") for n, s in enumerate(systems)])
    rows = rows_of(data, 3)
    epochs = [[rows.at(7, 12 * epoch + n) for n in range(12)] for epoch in range(20)]
    for order in epochs:
        assert sorted(order) == list(range(12))
        assert order.index(1) == order.index(0) + 1
        assert order.index(3) == order.index(2) + 1 == order.index(4) - 1
    assert len({tuple(order) for order in epochs}) == 20
    # Four are more than a step's, and rows without one have nothing of their own to share.
    assert any(order.index(8) != order.index(7) + 1 for order in epochs)
    assert any(order.index(6) != order.index(5) + 1 for order in epochs)
    assert [rows_of(data, 3).at(7, place) for place in range(12, 24)] == epochs[1]


def test_a_beginning_that_is_shared_changes_no_gradient(tmp_path: Path) -> None:
    """On a real decoder, which computes it once: the same step to rounding."""
    torch = pytest.importorskip("customize_torch.backend")
    model = customize.testing.write_tiny_model(tmp_path / "model")
    system = "You answer for the Brick Oven in Tulsa. We open at ten and close at nine. " * 2
    data = customize.read([told(system, f"question {n}") for n in range(6)])
    losses = []
    for apart in (False, True):
        engine = torch.CPU(dtype="float32").load(customize.resolve(model))
        session = engine.open(LoRA(rank=4), 0)
        rows = SFTRows(data, render(session, data), [], 1000, SFT.shorten)
        batch = rows.batch(range(6))
        assert len({*batch.groups.tolist()}) == 1
        if apart:
            batch = attrs.evolve(batch, groups=np.arange(6, dtype=np.int32))
        for _ in range(3):
            losses.append(session.forward_backward(batch, CrossEntropy()).result().loss)
            session.optim_step(AdamW(lr=0.01)).result()
    assert losses[:3] == pytest.approx(losses[3:], rel=1e-6)
    assert losses[2] < losses[0]
