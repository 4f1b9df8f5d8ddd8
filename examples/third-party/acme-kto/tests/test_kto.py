"""KTO against the paper's equations, written out row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import customize
import numpy as np
import pytest
from customize import Batch, DataError, Dataset, LoRA, Row, Session
from customize.testing import ToyBackend

from acme_kto.method import KTO, KTOLoss


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))


def open_session(seed: int = 0) -> Session:
    return ToyBackend().load(None).open(LoRA(), seed)


def chat(asked: str, answer: str, **columns: object) -> dict[str, object]:
    said = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return {"messages": said, **columns}


def liked_and_not(n: int = 8) -> Dataset:
    """Short answers are liked."""
    rows = [chat(f"q{i}", "yes" if i % 2 else "no, never", label=bool(i % 2)) for i in range(n)]
    return customize.read(rows)


def logprob(session: Session, messages: Sequence[object], answer: str) -> float:
    """Of the answer, token by token, from a batch of its own."""
    prompt = session.renderer.prompt(messages[:1])  # type: ignore[arg-type]
    said = [messages[0], {"role": "assistant", "content": answer}]
    tokens = session.renderer.render(said).tokens  # type: ignore[arg-type]
    weights = [float(i >= len(prompt)) for i in range(len(tokens))]
    batch = Batch.from_sequences([(tokens, {"weights": weights})])
    return sum(float(p) for p in session.forward(batch).result())


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_loss_and_z0_are_the_papers_row_by_row() -> None:
    data, policy, start = liked_and_not(5), open_session(), open_session()
    method = KTO(
        batch_size=4, epochs=8, lr=0.2, beta=0.3, desirable_weight=1.5, undesirable_weight=0.5
    )
    training, seen = method.train(policy, data), []
    for number in range(1, method.num_steps(data) + 1):
        places = range(4 * (number - 1), 4 * number)
        rows = [data[customize.shuffled_row(policy.seed, place, 5)] for place in places]
        z0, loss = by_hand(rows, policy, start)
        step = next(training)
        assert step.metrics["z0"] == pytest.approx(z0, rel=1e-4, abs=1e-6)
        assert step.metrics["loss"] == pytest.approx(loss, rel=1e-5)
        seen.append(z0)
    assert min(seen) == 0 < max(seen)


def by_hand(rows: Sequence[Row], policy: Session, start: Session) -> tuple[float, float]:
    """z0 and the loss as the paper has them, for the options above."""

    def ratio(row: Row, answer: str) -> float:
        asked = row["messages"]
        return logprob(policy, asked, answer) - logprob(start, asked, answer)

    answers = [row["messages"][1]["content"] for row in rows]
    following = [*answers[1:], answers[0]]
    mismatched = [ratio(row, answer) for row, answer in zip(rows, following, strict=True)]
    z0 = max(0.0, sum(mismatched) / len(rows))
    losses = []
    for row, answer in zip(rows, answers, strict=True):
        r = ratio(row, answer)
        if row["label"]:
            losses.append(1.5 - 1.5 * sigmoid(0.3 * (r - z0)))
        else:
            losses.append(0.5 - 0.5 * sigmoid(0.3 * (z0 - r)))
    return z0, sum(losses) / len(rows)


def test_the_gradient_matches_finite_differences() -> None:
    rng = np.random.default_rng(0)
    sequences = [
        (rng.integers(0, 9, n), {"weights": np.ones(n), "reference_logprobs": -rng.random(n)})
        for n in (3, 5, 2)
    ]
    columns: dict[str, list[float]] = {"sign": [1, -1, 1], "importance": [0.2, 0.7, 1.3]}
    batch = Batch.from_sequences(sequences, columns)
    loss, at = KTOLoss(beta=0.8, z0=0.3), -rng.random(10)
    _, gradient = loss.evaluate(at, batch)
    for i in range(10):
        moved = np.zeros(10)
        moved[i] = 1e-6
        up, down = (loss.evaluate(at + side * moved, batch)[0] for side in (1, -1))
        assert gradient[i] == pytest.approx((up - down) / 2e-6, rel=1e-6)


def test_a_far_answer_has_a_finite_loss() -> None:
    columns = {"weights": [0, 1], "reference_logprobs": [0, 0]}
    batch = Batch.from_sequences([([1, 2], columns)], {"sign": [1], "importance": [1]})
    value, gradient = KTOLoss(beta=1.0, z0=0.0).evaluate(np.array([0.0, -1e5]), batch)
    assert (value, gradient.tolist()) == (1.0, [0.0, 0.0])


def test_liked_answers_become_likelier_and_others_less_likely() -> None:
    session, data = open_session(), liked_and_not()
    asked = data[0]["messages"]
    before = [logprob(session, asked, answer) for answer in ("yes", "no, never")]
    steps = list(KTO(lr=0.02, epochs=10, batch_size=8).train(session, data))
    after = [logprob(session, asked, answer) for answer in ("yes", "no, never")]
    assert after[0] > before[0]
    assert after[1] < before[1]
    assert steps[-1].metrics["margin"] > 0.1


def test_only_the_last_answer_of_a_conversation_is_judged() -> None:
    said = ["one", "first answer", "two", "last answer"]
    messages = [
        {"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(said)
    ]
    session = open_session()
    rows = customize.read([{"messages": messages, "label": True}] * 2)
    list(KTO(lr=0.1).train(session, rows))
    moved = [
        logprob(session, [{"role": "user", "content": "x"}], text)
        - logprob(open_session(), [{"role": "user", "content": "x"}], text)
        for text in ("Q", "last answer")
    ]
    assert moved[1] > 10 * abs(moved[0])


def test_a_row_of_weight_zero_changes_nothing() -> None:
    rows = [chat("a", "yes", label=True, weight=1), chat("a", "no", label=False, weight=0)]
    steps = list(KTO(batch_size=2, lr=0.0).train(open_session(), customize.read(rows)))
    assert steps[0].metrics["loss"] == pytest.approx(0.5 / 2)


@pytest.mark.parametrize("label", [None, 1, "true"])
def test_a_label_that_is_not_true_or_false_is_refused_by_row(label: object) -> None:
    rows = [chat("a", "b", label=True), chat("a", "b", label=label)]
    with pytest.raises(DataError, match=r"row 2: label must be true \(liked\) or false"):
        next(KTO().train(open_session(), customize.read(rows)))


def test_one_row_is_refused() -> None:
    with pytest.raises(DataError, match="two rows at least"):
        next(KTO().train(open_session(), customize.read([chat("a", "b", label=True)])))


def test_resumed_it_is_bit_equal(tmp_path: Path) -> None:
    method, data = KTO(batch_size=3, epochs=2, lr=0.1), liked_and_not(6)
    steps = list(method.train(open_session(seed=3), data))
    first, second = open_session(seed=3), open_session()
    training = method.train(first, data)
    last = [next(training) for _ in range(2)][-1]
    first.save(tmp_path)
    second.load(tmp_path)
    assert list(method.train(second, data, resume=last)) == steps[2:]


def test_it_is_found_by_name(tmp_path: Path) -> None:
    rows = [chat(f"q{i}", "yes", label=True) for i in range(4)]
    to = tmp_path / "run"
    customize.train(model="toy", data=rows, method="kto", backend=ToyBackend(), to=to)
    assert '"margin"' in (to / "metrics.jsonl").read_text("utf-8")
