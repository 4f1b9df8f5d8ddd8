"""Training through the protocol, against the same calls made in process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from wire_client import HELLO, Asking, OperationFailed, datum, serving

from customize import (
    CISPO,
    DRO,
    PPO,
    AdamW,
    Batch,
    CrossEntropy,
    ImportanceSampling,
    LoRA,
    Loss,
    Session,
)
from customize.testing import ToyBackend

WEIGHTS = [0.0, 0.0, 1.0, 0.5, 1.0, 1.0, 2.0]


def in_process() -> Session:
    return ToyBackend().load().open(LoRA(rank=4), seed=7)


def as_batch(**columns: object) -> Batch:
    """One sequence whose first token has no entry."""
    padded = {name: [0.0, *values] for name, values in columns.items()}  # type: ignore[misc]
    return Batch.from_sequences([(HELLO, padded)])


def test_losses_fall_as_they_do_in_process(tmp_path: Path) -> None:
    async def through_the_server() -> list[float]:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            losses = []
            for _ in range(4):
                output = await asking.learn(model, [datum(HELLO, weights=WEIGHTS)])
                losses.append(output.metrics["loss:sum"])
                await asking.step(model, weight_decay=0.01, grad_clip_norm=1.0)
            return losses

    session, expected = in_process(), []
    step = AdamW(lr=0.1, eps=1e-12, weight_decay=0.01, max_grad_norm=1.0)
    for _ in range(4):
        done = session.forward_backward(as_batch(weights=WEIGHTS), CrossEntropy()).result()
        expected.append(done.loss)
        session.optim_step(step).result()
    assert asyncio.run(through_the_server()) == pytest.approx(expected, abs=1e-12)
    assert expected[-1] < expected[0]


@pytest.mark.parametrize(
    ("name", "config", "loss"),
    [
        ("importance_sampling", {}, ImportanceSampling()),
        ("ppo", {}, PPO(low=0.8, high=1.2)),
        ("ppo", {"clip_low_threshold": 0.5, "clip_high_threshold": 3.0}, PPO(low=0.5, high=3.0)),
        ("cispo", {}, CISPO(low=0.0, high=4.0)),
        ("dro", {"beta": 0.2}, DRO(beta=0.2)),
    ],
)
def test_losses_of_a_policy_are_those_published(
    tmp_path: Path, name: str, config: Mapping[str, float], loss: Loss
) -> None:
    advantages = [0.0, 0.0, 1.0, -1.0, 0.5, 2.0, -0.3]
    sampled = [0.0, 0.0, -3.0, -3.2, -2.5, -4.0, -3.3]

    async def through_the_server() -> tuple[float, float]:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            data = [datum(HELLO, logprobs=sampled, advantages=advantages)]
            output = await asking.learn(model, data, name, False, **config)
            return output.metrics["loss:sum"], await asking.step(model)

    session = in_process()
    batch = as_batch(weights=[1.0] * 7, advantages=advantages, sampling_logprobs=sampled)
    expected = session.forward_backward(batch, loss).result().loss
    norm = session.optim_step(AdamW(max_grad_norm=0)).result()
    assert asyncio.run(through_the_server()) == pytest.approx((expected, norm), abs=1e-6)


def test_every_position_has_its_logprob_whatever_its_weight(tmp_path: Path) -> None:
    async def through_the_server() -> np.ndarray:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            data = [datum(HELLO, weights=[0.0] * 7), datum(HELLO[:3])]
            first, second = (await asking.learn(model, data, forward_only=True)).logprobs
            assert len(second) == 2
            return first

    expected = in_process().forward(as_batch(weights=[1.0] * 7)).result()[1:]
    np.testing.assert_array_equal(asyncio.run(through_the_server()), expected)


def test_a_target_that_is_not_the_next_token_is_what_is_scored(tmp_path: Path) -> None:
    """The toy looks one token back, so each target's log-probability is that of a pair."""
    targets = [1, 4, 20, 5, 21, 2, 6]

    async def through_the_server() -> tuple[np.ndarray, float, float]:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            one = datum(HELLO, weights=WEIGHTS)
            one.inputs["target_tokens"].values[:] = targets
            output = await asking.learn(model, [one])
            return output.logprobs[0], output.metrics["loss:sum"], await asking.step(model)

    session = in_process()
    pairs = Batch.from_sequences(
        [([a, b], {"weights": [0.0, 1.0]}) for a, b in zip(HELLO, targets, strict=False)]
    )
    expected = session.forward(pairs).result()[1::2]
    logprobs, loss, norm = asyncio.run(through_the_server())
    np.testing.assert_array_equal(logprobs, expected)
    assert loss == pytest.approx(-float(np.dot(WEIGHTS, expected)), abs=1e-5)
    weighted = pairs.with_columns(weights=np.asarray([[0.0, w] for w in WEIGHTS]).reshape(-1))
    session.forward_backward(weighted, CrossEntropy())
    assert norm == pytest.approx(session.optim_step(AdamW(max_grad_norm=0)).result(), abs=1e-6)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("gspo", "not published"),
        ("stable_reinforce", "not published"),
        ("hinge", "there is no loss 'hinge'"),
    ],
)
def test_a_loss_that_is_not_here_is_refused_by_name(
    tmp_path: Path, loss: str, message: str
) -> None:
    async def through_the_server() -> str:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            with pytest.raises(OperationFailed, match=message) as failure:
                await asking.learn(model, [datum(HELLO)], loss)
            await asking.learn(model, [datum(HELLO)])  # its number was taken: others go on
            return failure.value.category

    assert asyncio.run(through_the_server()) == "user"
