"""The losses of pairs against TRL's own numbers, brute force and finite differences."""

from __future__ import annotations

import json
import math
import re
import runpy
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from customize import Batch, MissingDependency, NonFiniteError, OptionError
from customize_dpo.coupling import Coupled, measures
from customize_dpo.losses import (
    NAMED,
    PairLoss,
    differentiated,
    hinge,
    ipo,
    orpo,
    robust,
    sigmoid,
    with_beta,
)
from customize_dpo.losses import simpo as simpo_loss

TABLE = json.loads(Path(__file__).with_name("trl_losses.json").read_text("utf-8"))
KNOWN: list[tuple[str, dict[str, float], PairLoss, bool]] = [
    ("sigmoid", {"beta": 0.1}, partial(sigmoid, beta=0.1), False),
    ("sigmoid", {"beta": 0.7}, partial(sigmoid, beta=0.7), False),
    ("sigmoid_norm", {"beta": 2.0}, partial(sigmoid, beta=2.0), True),
    # TRL's ipo is of means, as its authors told it.
    ("ipo", {"beta": 0.1}, partial(ipo, beta=0.1), True),
    ("ipo", {"beta": 0.5}, partial(ipo, beta=0.5), True),
    ("hinge", {"beta": 0.1}, partial(hinge, beta=0.1), False),
    ("hinge", {"beta": 1.0}, partial(hinge, beta=1.0), False),
    (
        "robust",
        {"beta": 0.3, "label_smoothing": 0.2},
        partial(robust, beta=0.3, smoothing=0.2),
        False,
    ),
    ("simpo", {"beta": 2.0, "gamma": 0.5}, partial(simpo_loss, beta=2.0, gamma=0.5), True),
    ("simpo", {"beta": 2.5, "gamma": 1.4}, partial(simpo_loss, beta=2.5, gamma=1.4), True),
]


def batch_of(pairs: list[dict[str, Any]]) -> tuple[np.ndarray[Any, Any], Batch]:
    """Policy's log-probabilities [N] and the batch; two tokens of prompt before each answer."""
    sides = [(p["policy"][s], p["reference"][s]) for p in pairs for s in (0, 1)]
    batch = Batch.from_sequences(
        [
            (
                [1] * (2 + len(policy)),
                {
                    "weights": [0, 0] + [1] * len(policy),
                    "reference_logprobs": [0, 0, *reference],
                },
            )
            for policy, reference in sides
        ],
        sequence_columns={"share": [1 / len(pairs)] * len(sides)},
        groups=np.repeat(np.arange(len(pairs)), 2),
    )
    logprobs = np.concatenate([[0, 0, *policy] for policy, _ in sides])
    return logprobs, batch


def coupled(pair_loss: PairLoss, means: bool, sft: float = 0.0) -> Coupled:
    return Coupled(pair_loss, means, sft, [f"pairs, line {i + 1}" for i in range(9)])


def of_trl(name: str, told: dict[str, float]) -> list[dict[str, Any]]:
    (found,) = (
        loss["pairs"]
        for loss in TABLE["losses"]
        if {k: v for k, v in loss.items() if k != "pairs"} == {"loss": name, **told}
    )
    return found  # type: ignore[no-any-return]  # JSON


def assert_same(mine: Coupled, theirs: list[dict[str, Any]]) -> None:
    """Loss of each pair alone, and its gradient by every token's log-probability."""
    for pair, expected in zip(TABLE["pairs"], theirs, strict=True):
        logprobs, batch = batch_of([pair])
        value, gradient = mine.evaluate(logprobs, batch)
        assert value == pytest.approx(expected["loss"], rel=1e-6, abs=1e-6)
        by_side = np.repeat(expected["gradient"], batch.lengths)
        np.testing.assert_allclose(gradient, by_side * batch.scored, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("name", "told", "pair_loss", "means"), KNOWN)
def test_loss_and_gradient_are_those_of_trl(
    name: str, told: dict[str, float], pair_loss: PairLoss, means: bool
) -> None:
    assert_same(coupled(pair_loss, means), of_trl(name, told))


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_orpo_is_trls_odds_ratio_and_the_chosen_sides_own_loss(beta: float) -> None:
    both = [
        {
            "loss": odds["loss"] + own["loss"],
            "gradient": np.add(odds["gradient"], own["gradient"]),
        }
        for odds, own in zip(
            of_trl("odds_ratio", {"beta": beta}), of_trl("sft", {"beta": 0.1}), strict=True
        )
    ]
    assert_same(coupled(partial(orpo, beta=beta), True), both)


def test_the_added_sft_term_is_trls() -> None:
    none: PairLoss = lambda policy, reference: (0 * policy[:, 0], 0 * policy)  # noqa: E731
    assert_same(coupled(none, False, sft=1.0), of_trl("sft", {"beta": 0.1}))


def _log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


def _h(w: float, l: float, rw: float, rl: float) -> float:  # noqa: E741 - as the papers have it
    return (w - rw) - (l - rl)


def _odds(p: float) -> float:
    return math.log(math.exp(p) / (1 - math.exp(p)))


BRUTE: dict[str, Callable[[float, float, float, float], float]] = {
    "sigmoid": lambda *a: -_log_sigmoid(0.3 * _h(*a)),
    "ipo": lambda *a: (_h(*a) - 1 / 0.6) ** 2,
    "hinge": lambda *a: max(0.0, 1 - 0.3 * _h(*a)),
    "robust": lambda *a: (
        (0.9 * -_log_sigmoid(0.3 * _h(*a)) - 0.1 * -_log_sigmoid(-0.3 * _h(*a))) / 0.8
    ),
    "simpo": lambda w, l, rw, rl: -_log_sigmoid(0.3 * (w - l) - 0.5),  # noqa: E741
    "orpo": lambda w, l, rw, rl: -w - 0.3 * _log_sigmoid(_odds(w) - _odds(l)),  # noqa: E741
}
MORE = {"robust": {"smoothing": 0.1}, "simpo": {"gamma": 0.5}}


@pytest.mark.parametrize("means", [False, True])
@pytest.mark.parametrize("name", NAMED)
def test_a_batch_is_what_a_loop_over_its_pairs_gives(name: str, means: bool) -> None:
    pairs = TABLE["pairs"]
    logprobs, batch = batch_of(pairs)
    loss = coupled(partial(NAMED[name], beta=0.3, **MORE.get(name, {})), means)
    expected = 0.0
    for pair in pairs:
        said = [
            sum(pair[who][side]) / (len(pair[who][side]) if means else 1)
            for who in ("policy", "reference")
            for side in (0, 1)
        ]
        expected += BRUTE[name](*said) / len(pairs)
    assert loss.evaluate(logprobs, batch)[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("means", [False, True])
@pytest.mark.parametrize("name", NAMED)
def test_the_gradient_is_that_of_finite_differences(name: str, means: bool) -> None:
    logprobs, batch = batch_of(TABLE["pairs"][2:5])
    loss = coupled(partial(NAMED[name], beta=0.3, **MORE.get(name, {})), means, sft=0.2)
    _, gradient = loss.evaluate(logprobs, batch)
    for at in range(batch.num_tokens):
        away = np.zeros_like(logprobs)
        away[at] = 1e-5
        up, down = (loss.evaluate(logprobs + s * away, batch)[0] for s in (1, -1))
        expected = (up - down) / 2e-5 if batch.scored[at] else 0.0
        assert gradient[at] == pytest.approx(expected, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("name", NAMED)
def test_a_pair_cut_from_its_batch_adds_the_same(name: str) -> None:
    logprobs, batch = batch_of(TABLE["pairs"])
    loss = coupled(partial(NAMED[name], beta=0.3, **MORE.get(name, {})), True)
    whole, gradient = loss.evaluate(logprobs, batch)
    total = 0.0
    for sequences in ([4, 5, 0, 1], [2, 3, 6, 7, 8, 9, 10, 11]):
        where = batch.positions_of(sequences)
        value, part = loss.evaluate(logprobs[where], batch.take(sequences))
        np.testing.assert_array_equal(part, gradient[where])
        total += value
    assert total == pytest.approx(whole)


def test_extreme_margins_stay_finite() -> None:
    for h in (-1e4, 1e4):
        policy, reference = np.asarray([[h, 0.0]]), np.zeros((1, 2))
        for loss in (partial(sigmoid, beta=1.0), partial(robust, beta=1.0, smoothing=0.1)):
            value, slope = loss(policy, reference)
            assert np.isfinite(value).all()
            assert np.isfinite(slope).all()


def test_a_loss_that_is_not_finite_names_its_pair() -> None:
    logprobs, batch = batch_of(TABLE["pairs"])
    logprobs[batch.offsets[5] - 1] = -np.inf  # in the third pair's chosen side
    loss = coupled(partial(sigmoid, beta=0.1), False)
    with pytest.raises(NonFiniteError, match=r"pairs, line 3: .*of chosen -inf"):
        loss.evaluate(logprobs, batch)
    with pytest.raises(NonFiniteError, match="pairs, line 3"):
        loss.evaluate(logprobs[batch.positions_of([4, 5])], batch.take([4, 5]))


def test_a_torch_function_gives_what_the_same_in_numpy_does() -> None:
    torch = pytest.importorskip("torch")

    def own(policy: Any, reference: Any) -> Any:
        h = (policy - reference) @ torch.tensor([1.0, -1.0], dtype=torch.float64)
        return -torch.nn.functional.logsigmoid(0.3 * h)

    logprobs, batch = batch_of(TABLE["pairs"])
    value, gradient = coupled(differentiated(own), False).evaluate(logprobs, batch)
    expected, by_token = coupled(partial(sigmoid, beta=0.3), False).evaluate(logprobs, batch)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient, by_token, rtol=1e-12)


def test_a_torch_function_that_gives_no_number_a_pair_is_refused() -> None:
    pytest.importorskip("torch")
    logprobs, batch = batch_of(TABLE["pairs"])
    with pytest.raises(OptionError, match=r"one number for each of 6 pairs \(got shape \(\)\)"):
        coupled(differentiated(lambda p, r: p.sum()), False).evaluate(logprobs, batch)


def takes_none(policy: Any, reference: Any) -> Any:
    return policy[:, 1]


def takes_beta(policy: Any, reference: Any, beta: float) -> Any:
    return beta * policy[:, 1]


def has_its_own(policy: Any, reference: Any, *, beta: float = 0.4) -> Any:
    return beta * policy[:, 1]


@pytest.mark.parametrize(
    ("function", "beta", "expected"),
    [
        (takes_none, 0.1, 1.0),
        (takes_beta, 0.1, 0.1),
        (takes_beta, 0.3, 0.3),
        (has_its_own, 0.3, 0.3),
    ],
)
def test_a_loss_of_ones_own_gets_beta_where_it_takes_it(
    function: Callable[..., Any], beta: float, expected: float
) -> None:
    given = with_beta(function, beta, unset=0.1)
    np.testing.assert_allclose(given(np.ones((2, 2)), np.zeros((2, 2))), [expected] * 2)


@pytest.mark.parametrize(
    ("function", "beta", "told"),
    [
        (takes_none, 0.3, "beta is 0.3, and the loss takes_none takes none: leave it out"),
        (has_its_own, 0.1, "has a beta of its own, 0.4, and the option is 0.1: set the option"),
    ],
)
def test_a_beta_that_would_not_be_heard_is_refused(
    function: Callable[..., Any], beta: float, told: str
) -> None:
    with pytest.raises(OptionError, match=told):
        with_beta(function, beta, unset=0.1)


def test_without_torch_a_loss_of_ones_own_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependency, match="pip install torch"):
        differentiated(lambda p, r: p)


def test_what_is_watched_is_what_a_loop_gives() -> None:
    pairs = TABLE["pairs"]
    logprobs, batch = batch_of(pairs)
    began = np.asarray([np.mean(p["reference"][0]) for p in pairs])
    told = measures(logprobs, batch, 0.1, False, began)
    rewards = [
        [0.1 * (sum(p["policy"][s]) - sum(p["reference"][s])) for s in (0, 1)] for p in pairs
    ]
    away = [
        math.exp(a - b) - 1 - (a - b)
        for p in pairs
        for s in (0, 1)
        for a, b in zip(p["policy"][s], p["reference"][s], strict=True)
    ]
    change = [10 * r[0] / len(p["policy"][0]) for r, p in zip(rewards, pairs, strict=True)]
    assert told == pytest.approx(
        {
            "reward_chosen": np.mean([w for w, _ in rewards]),
            "reward_rejected": np.mean([r for _, r in rewards]),
            "margin": np.mean([w - r for w, r in rewards]),
            "accuracy": np.mean([w > r for w, r in rewards]),
            "logprob_chosen": np.mean([sum(p["policy"][0]) for p in pairs]),
            "logprob_rejected": np.mean([sum(p["policy"][1]) for p in pairs]),
            "chosen_change": np.mean(change),
            "kl_to_reference": np.mean(away),
        },
        rel=1e-5,
    )


def test_the_kl_estimate_is_unbiased_where_the_reference_answers() -> None:
    """Summed over every token there is, weighted by the reference, it is the KL itself."""
    reference, policy = np.asarray([0.5, 0.3, 0.2]), np.asarray([0.2, 0.2, 0.6])
    exact = float((reference * np.log(reference / policy)).sum())
    estimate = 0.0
    for token, chance in enumerate(reference):
        said = {
            "policy": [[math.log(policy[token])]] * 2,
            "reference": [[math.log(reference[token])]] * 2,
        }
        estimate += chance * measures(*batch_of([said]), 0.1, False, None)["kl_to_reference"]
    assert estimate == pytest.approx(exact, rel=1e-5)


PAGE = Path(__file__).parents[3] / "docs/how-to/learn-from-preferences.md"
OWN = [
    ("apo_zero", "apo_zero", {"beta": 0.1}),
    ("exo", "exo_pair", {"beta": 0.4, "label_smoothing": 0.05}),
    ("nca", "nca_pair", {"beta": 0.2}),
]


@pytest.mark.parametrize(("name", "theirs", "told"), OWN)
def test_the_losses_that_the_docs_write_are_trls(
    tmp_path: Path, name: str, theirs: str, told: dict[str, float]
) -> None:
    pytest.importorskip("torch")
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    file = tmp_path / "losses.py"
    file.write_text(next(block for block in blocks if "def apo_zero" in block))
    own = with_beta(runpy.run_path(str(file))[name], told["beta"], unset=0.1)
    assert_same(coupled(differentiated(own), False), of_trl(theirs, told))


@pytest.mark.parametrize("side", [0, 1])
def test_a_reference_that_is_not_finite_names_the_pair(side: int) -> None:
    sides = [[-1.0, -2.0], [-3.0]]
    broken = [[-1.0, -2.0], [-3.0]]
    broken[side][0] = -math.inf
    rows = [{"policy": sides, "reference": sides}, {"policy": sides, "reference": broken}]
    logprobs, batch = batch_of(rows)
    coupled = Coupled(partial(hinge, beta=0.1), False, 0.0, ["line 1", "line 2"])
    with pytest.raises(NonFiniteError, match=r"line 2: the reference's log-probability is .*-inf"):
        coupled.evaluate(logprobs, batch)


@pytest.mark.parametrize("side", [0, 1])
def test_orpo_of_an_answer_that_is_certain_in_float32_is_finite(side: int) -> None:
    """Of a mean of exactly 0 it is what the mean next to it gives."""
    certain, next_to_it = (np.full((1, 2), -0.5) for _ in range(2))
    certain[0, side], next_to_it[0, side] = 0.0, -(2.0**-24)
    found = [orpo(said, 0 * said, 0.1) for said in (certain, next_to_it)]
    for one, other in zip(*found, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)
