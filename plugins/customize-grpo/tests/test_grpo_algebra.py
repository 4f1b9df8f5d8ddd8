"""Every preset beside a brute force that was written apart, and exact gradients by enumeration.

The brute force loops over episodes and tokens, differentiates by hand, and shares no code with the
method: it is given rewards, log-probabilities and lengths, and returns a loss and its gradient.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from toy_rewards import OfTwo, likeness

from customize import CISPO, PPO, Batch, Episode, ImportanceSampling, Spoken
from customize_grpo.method import GRPO
from customize_grpo.presets import PRESETS

H = 32  # max_tokens

# What each preset is, as the papers have it: written apart from presets.py.
PUBLISHED: dict[str, dict[str, Any]] = {
    "grpo": {"base": "mean", "std": "group", "per": "sequence", "clip": (0.8, 1.2), "k3": 0.04},
    "dr-grpo": {"base": "mean", "std": None, "per": "constant", "clip": (0.8, 1.2), "h": H},
    "dapo": {"base": "mean", "std": "group", "per": "prompt", "clip": (0.8, 1.28)},
    "gspo": {
        "base": "mean",
        "std": "group",
        "per": "sequence",
        "clip": (1 - 3e-4, 1 + 4e-4),
        "sequence": True,
    },
    "cispo": {"base": "mean", "std": "group", "per": "token", "cap": 5.0},
    "rloo": {"base": "others", "std": None, "per": "constant", "h": 1, "k1": 0.05},
    "reinforce++": {"base": None, "std": "tokens", "per": "token", "clip": (0.8, 1.2), "go": 0.01},
    "opo": {"base": "length", "std": None, "per": "token"},
    "scalerl": {"base": "mean", "std": "batch", "per": "prompt", "cap": 5.0},
}


def episodes_of(rng: np.random.Generator) -> list[Episode]:
    """Groups of unequal size, one of them flat, with tool holes; some have two sequences."""
    out = []
    for group, size in enumerate((4, 3, 2, 4)):
        for index in range(size):
            reward = 1.0 if group == 3 else float(rng.integers(0, 3))
            sequences = [_spoken(rng) for _ in range(1 + (group == 1 and index == 0))]
            out.append(_episode(group, index, reward, sequences))
    rewards = {g: [e.reward for e in out if e.group == g] for g in range(3)}
    assert all(len(set(r)) > 1 for r in rewards.values()), "choose another seed"
    return out


def _spoken(rng: np.random.Generator) -> Spoken:
    length = int(rng.integers(6, 15))
    sampled = np.zeros(length, bool)
    sampled[2:] = rng.random(length - 2) < 0.7  # holes: what a tool said
    sampled[-1] = True
    logprobs = np.where(sampled, -rng.random(length) * 2, 0).astype(np.float32)
    return Spoken(rng.integers(5, 200, length, np.int32), sampled, logprobs)


def _episode(group: int, index: int, reward: float, sequences: list[Spoken]) -> Episode:
    return Episode(
        place=group,
        group=group,
        index=index,
        seed=0,
        sequences=tuple(sequences),
        reward=reward,
        parts={},
        turns=1,
        stop="done",
        faults={},
        calls={},
        messages=(),
        seconds=0.0,
    )


class Fixed:
    """Stands for a session: its reference says what it is told to."""

    def __init__(self, reference: Any) -> None:
        self._reference = reference

    def named_snapshot(self, name: str) -> Any:
        return self

    def forward(self, batch: Batch) -> Any:
        return self

    def result(self) -> Any:
        return self._reference


def brute_force(
    chosen: dict[str, Any], episodes: list[Episode], now: list[Any], reference: list[Any]
) -> tuple[float, list[Any]]:
    """The loss, and its gradient by the log-probability of each token of each sequence.

    now, reference: of each sequence, in the order of the episodes.
    """
    flat = _flat_groups(episodes) if chosen["base"] else set()
    kept, place = [], 0
    for episode in episodes:
        places = list(range(place, place + len(episode.sequences)))
        place += len(places)
        if episode.group not in flat:
            kept.append((episode, places))
    gradient = [np.zeros(len(values)) for values in now]
    before = [spoken.logprobs.astype(np.float64) for e in episodes for spoken in e.sequences]
    masks = [spoken.sampled for e in episodes for spoken in e.sequences]
    tokens = {
        i: [(p, t) for p in places for t in range(len(masks[p])) if masks[p][t]]
        for i, (_, places) in enumerate(kept)
    }
    reward = {}
    for i, (episode, _) in enumerate(kept):
        kl = sum(before[p][t] - reference[p][t] for p, t in tokens[i])
        reward[i] = episode.reward - chosen.get("k1", 0.0) * kl
    advantage = {}
    for i, (episode, _) in enumerate(kept):
        mates = [j for j, (other, _) in enumerate(kept) if other.group == episode.group]
        values = [reward[j] for j in mates]
        if chosen["base"] == "mean":
            advantage[i] = reward[i] - sum(values) / len(values)
        elif chosen["base"] == "others":
            others = [reward[j] for j in mates if j != i]
            advantage[i] = reward[i] - sum(others) / len(others)
        elif chosen["base"] == "length":
            total = sum(len(tokens[j]) for j in mates)
            advantage[i] = reward[i] - sum(len(tokens[j]) * reward[j] for j in mates) / total
        else:
            advantage[i] = reward[i]
    if chosen["std"] == "group":
        for i, (episode, _) in enumerate(kept):
            mates = [j for j, (other, _) in enumerate(kept) if other.group == episode.group]
            advantage[i] /= _std([reward[j] for j in mates]) + 1e-6
    if chosen["std"] == "batch":
        by = _std(list(advantage.values())) + 1e-6
        advantage = {i: value / by for i, value in advantage.items()}
    of_token = {}
    for i in tokens:
        for k, (p, t) in enumerate(tokens[i]):
            rest = sum(before[q][u] - reference[q][u] for q, u in tokens[i][k:])
            of_token[p, t] = advantage[i] - chosen.get("go", 0.0) * rest
    if chosen["std"] == "tokens":
        values = list(of_token.values())
        mean, by = sum(values) / len(values), math.sqrt(_std(values) ** 2 + 1e-8)
        of_token = {key: (value - mean) / by for key, value in of_token.items()}
    loss = 0.0
    every = sum(len(tokens[i]) for i in tokens)
    groups = {episode.group for episode, _ in kept}
    for i, (episode, _) in enumerate(kept):
        own = len(tokens[i])
        in_group = sum(len(tokens[j]) for j, (o, _) in enumerate(kept) if o.group == episode.group)
        weight = {
            "token": 1 / every,
            "sequence": 1 / (len(kept) * own),
            "prompt": 1 / (len(groups) * in_group),
            "constant": 1 / (len(kept) * chosen.get("h", 1)),
        }[chosen["per"]]
        for p, t in tokens[i]:
            away = now[p][t] - before[p][t]
            if chosen.get("sequence"):
                same = [u for q, u in tokens[i] if q == p]
                away = sum(now[p][u] - before[p][u] for u in same) / len(same)
            value, slope = _term(chosen, math.exp(away), of_token[p, t], now[p][t])
            loss += weight * value
            gradient[p][t] += weight * slope
            if "k3" in chosen:
                ratio = math.exp(reference[p][t] - now[p][t])
                loss += weight * chosen["k3"] * (ratio - 1 - math.log(ratio))
                gradient[p][t] += weight * chosen["k3"] * (1 - ratio)
    return loss, gradient


def _term(chosen: dict[str, Any], ratio: float, a: float, logprob: float) -> tuple[float, float]:
    if "cap" in chosen:
        held = min(ratio, chosen["cap"])
        return -held * a * logprob, -held * a
    if "clip" not in chosen:
        return -ratio * a, -ratio * a
    low, high = chosen["clip"]
    clipped = min(max(ratio, low), high)
    if ratio * a <= clipped * a:
        return -ratio * a, -ratio * a
    return -clipped * a, 0.0


def _std(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))


def _flat_groups(episodes: list[Episode]) -> set[int]:
    groups = {episode.group for episode in episodes}
    return {g for g in groups if len({e.reward for e in episodes if e.group == g}) == 1}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_what_was_published(preset: str) -> None:
    """In float64, with tool holes, a flat group, unequal groups and an episode that restarted."""
    rng = np.random.default_rng(7)
    episodes = episodes_of(rng)
    method = GRPO(reward=likeness, preset=preset, max_tokens=H)
    flat = _flat_groups(episodes) if PUBLISHED[preset]["base"] else set()
    kept = [e for e in episodes if e.group not in flat]
    sequences = [s for e in episodes for s in e.sequences]
    near = [s.logprobs + rng.normal(0, 0.2, len(s.logprobs)) * s.sampled for s in sequences]
    told = [s.logprobs + rng.normal(0, 0.3, len(s.logprobs)) * s.sampled for s in sequences]
    told = [t.astype(np.float32).astype(np.float64) for t in told]  # as columns keep it
    chosen = [i for i, s in enumerate(sequences) if any(s in e.sequences for e in kept)]
    reference = np.concatenate([told[i] for i in chosen])
    batch, _ = method._batch(Fixed(reference), kept)  # type: ignore[arg-type]
    exact = in_float64(method, batch, kept, reference)
    loss, gradient_N = method.objective().evaluate(np.concatenate([near[i] for i in chosen]), exact)
    wanted, by_token = brute_force(PUBLISHED[preset], episodes, near, told)
    found = np.concatenate([by_token[i] for i in chosen])
    assert loss == pytest.approx(wanted, rel=1e-9)
    assert np.abs(gradient_N - found).max() <= 1e-9 * np.abs(found).max()
    assert not any(by_token[i].any() for i in range(len(sequences)) if i not in chosen)


def in_float64(method: GRPO, batch: Batch, kept: list[Episode], reference: Any) -> Batch:
    """The same batch with columns that are not rounded: the algebra's own numbers."""
    groups = np.unique([e.group for e in kept], return_inverse=True)[1]
    owner_S = [i for i, e in enumerate(kept) for _ in e.sequences]
    owner_K = np.repeat(owner_S, batch.lengths)[batch.scored]
    sampled = batch.columns["sampling_logprobs"].astype(np.float64)
    kl_K = float(method.kl or 0.0) * (sampled - reference)[batch.scored]
    advantage_K = method._advantages(kept, groups, owner_K, kl_K)
    length_E = np.array([e.num_sampled for e in kept], float)
    weight_E = method.algebra().weight_of_a_token(length_E, groups)
    columns = {name: np.zeros(batch.num_tokens) for name in ("weights", "advantages")}
    columns["weights"][batch.scored] = weight_E[owner_K]
    columns["advantages"][batch.scored] = advantage_K
    for name, values in columns.items():  # what the session is given is this, rounded
        assert np.allclose(batch.columns[name], values, rtol=1e-6, atol=1e-9)
    columns |= {"sampling_logprobs": sampled, "reference_logprobs": reference}
    return Batch(batch.tokens, batch.offsets, columns, {}, batch.groups)  # type: ignore[arg-type]


def test_a_group_with_a_failed_member_is_as_if_it_had_never_been() -> None:
    """Rewards 1, 1, 0, 0, the second failed: .667, -.333, -.333."""
    rng = np.random.default_rng(1)
    episodes = [_episode(0, i, r, [_spoken(rng)]) for i, r in ((0, 1.0), (2, 0.0), (3, 0.0))]
    method = GRPO(reward=likeness)
    _, advantage_E = method._batch(Fixed(None), episodes)  # type: ignore[arg-type]
    assert advantage_E.tolist() == pytest.approx([2 / 3, -1 / 3, -1 / 3])


POLICY = OfTwo([0.3, -0.4, 0.9])
REWARD = {(0, 0): 0.2, (0, 1): 1.0, (1, 0): -0.5, (1, 1): 0.7}
ANSWERS = [(0, 0), (0, 1), (1, 0), (1, 1)]


def _probability(answer: tuple[int, int]) -> float:
    return float(np.exp(POLICY.logprobs(*answer).sum()))


def _true_gradient(value: Any) -> Any:
    """Of the expected value, by its definition: the sum over all answers of p' times value."""
    return sum(_probability(a) * value(a) * POLICY.gradient(*a, np.ones(2)) for a in ANSWERS)


def _expected_gradient(method: GRPO, size: int, reference: OfTwo | None = None) -> Any:
    """Of the method's loss, over all groups that may be sampled, each with its probability."""
    total = np.zeros(3)
    for group in itertools.product(ANSWERS, repeat=size):
        weight = math.prod(map(_probability, group))
        total += weight * _gradient_of(method, group, reference)
    return total


def _gradient_of(method: GRPO, group: Any, reference: OfTwo | None) -> Any:
    episodes = [
        _episode(0, i, REWARD[a], [Spoken(np.array([9, *a], np.int32), MASK, _said(a))])
        for i, a in enumerate(group)
    ]
    groups, owner_K = np.zeros(len(group), int), np.repeat(np.arange(len(group)), 2)
    kl_K = np.zeros(2 * len(group))
    if reference is not None:
        away = [POLICY.logprobs(*a) - reference.logprobs(*a) for a in group]
        kl_K = float(method.kl or 0.0) * np.concatenate(away)
    advantage_K = method._advantages(episodes, groups, owner_K, kl_K)
    weight_E = method.algebra().weight_of_a_token(np.full(len(group), 2.0), groups)
    by_token = -weight_E[owner_K] * advantage_K  # at a ratio of 1 that is the loss's gradient
    if reference is not None and method.kl_as == "loss":
        by_token = _with_k3(method, group, reference, weight_E)
    return sum(
        POLICY.gradient(a[0], a[1], by_token[2 * i : 2 * i + 2]) for i, a in enumerate(group)
    )


MASK = np.array([False, True, True])


def _said(answer: tuple[int, int]) -> Any:
    return np.concatenate([[0.0], POLICY.logprobs(*answer)]).astype(np.float32)


def _with_k3(method: GRPO, group: Any, reference: OfTwo, weight_E: Any) -> Any:
    """The gradient of the KL term of the loss alone, through the method's own objective."""
    own = np.concatenate([[0.0, *POLICY.logprobs(*a)] for a in group])
    told = np.concatenate([[0.0, *reference.logprobs(*a)] for a in group])
    weights = np.repeat(weight_E, 3) * np.tile(MASK, len(group))
    columns = {
        "weights": weights,
        "advantages": 0 * weights,
        "sampling_logprobs": own,
        "reference_logprobs": told,
    }
    offsets = np.arange(len(group) + 1, dtype=np.int64) * 3
    batch = Batch(np.zeros(len(own), np.int32), offsets, columns)
    return method.objective().evaluate(own, batch)[1][np.tile(MASK, len(group))]


def test_leave_one_out_is_the_gradient_of_the_expected_reward() -> None:
    method = GRPO(reward=likeness, baseline="leave_one_out", per="constant", horizon=1, clip="none")
    found = -_expected_gradient(method, 3)
    wanted = _true_gradient(lambda answer: REWARD[answer])
    assert np.abs(found - wanted).max() <= 1e-12
    assert np.abs(-found - wanted).max() > 0.1  # the same with its sign turned


def test_the_groups_mean_is_that_gradient_but_for_a_factor() -> None:
    method = GRPO(reward=likeness, per="constant", horizon=1, clip="none")
    found = -_expected_gradient(method, 3)
    wanted = _true_gradient(lambda answer: REWARD[answer])
    assert np.abs(found - wanted * 2 / 3).max() <= 1e-12


REFERENCE = OfTwo([-2.5, 2.5, -2.0])


def _kl_gradient() -> Any:
    """Of KL(policy || reference), by its definition; the logarithm's own gradient is 0 in sum."""

    def away(answer: tuple[int, int]) -> float:
        return float((POLICY.logprobs(*answer) - REFERENCE.logprobs(*answer)).sum())

    return _true_gradient(away)


@pytest.mark.parametrize("kl_as", ["to_go", "reward"])
def test_kl_in_the_reward_has_the_exact_gradient(kl_as: str) -> None:
    plain = GRPO(reward=likeness, baseline="none", per="constant", horizon=1)
    with_ = GRPO(**{**vars(plain), "kl": 1.0, "kl_as": kl_as})
    found = _expected_gradient(with_, 1, REFERENCE) - _expected_gradient(plain, 1)
    assert np.abs(found - _kl_gradient()).max() <= 1e-9


def test_kl_as_k3_in_the_loss_has_another_gradient() -> None:
    """So it is documented, and not the default."""
    method = GRPO(reward=likeness, baseline="none", per="constant", horizon=1, kl=1.0, kl_as="loss")
    found, wanted = _expected_gradient(method, 1, REFERENCE), _kl_gradient()
    assert np.linalg.norm(found - wanted) > 0.1 * np.linalg.norm(wanted)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, CISPO(low=0.0, high=5.0)),
        ({"clip": "ppo"}, PPO(low=0.8, high=1.2)),
        ({"clip": "ppo", "clip_high": 0.5}, PPO(low=0.8, high=1.5)),
        ({"clip": "none"}, ImportanceSampling()),
        ({"preset": "grpo", "clip": "weight"}, CISPO(low=0.0, high=5.0)),
        ({"preset": "cispo", "clip": "ppo"}, PPO(low=0.8, high=1.2)),
        ({"preset": "rloo", "clip": "ppo"}, PPO(low=0.8, high=1.2)),
        ({"preset": "opo", "clip": "weight", "clip_low": 0.1}, CISPO(low=0.1, high=5.0)),
        ({"preset": "dapo", "clip": "ppo"}, PPO(low=0.8, high=1.28)),
        ({"preset": "dapo", "clip": "none"}, ImportanceSampling()),
    ],
)
def test_thresholds_are_those_of_the_clip(given: dict[str, Any], wanted: Any) -> None:
    """Whoever sets a clip beside a preset gets that clip's own, and not the preset's numbers."""
    method = GRPO(reward=likeness, **given)
    assert method.objective().surrogate == wanted
    assert GRPO(**vars(method)) == method  # from what it has settled, as a recipe keeps it


def test_a_surrogate_of_ones_own_is_what_it_says() -> None:
    pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    episodes = episodes_of(rng)[:4]
    own = GRPO(reward=likeness, surrogate="test_grpo_algebra:clipped")
    named = GRPO(reward=likeness, preset="dr-grpo")
    found = []
    for method in (own, named):
        batch, _ = method._batch(Fixed(None), episodes)  # type: ignore[arg-type]
        weights = batch.scored / batch.scored.sum()
        batch = batch.with_columns(weights=weights)
        near = batch.columns["sampling_logprobs"] + rng.normal(0, 0.0, batch.num_tokens) + 0.15
        found.append(method.objective().evaluate(near, batch))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    assert np.allclose(found[0][1], found[1][1], atol=1e-7)


def clipped(ratio: Any, advantage: Any) -> Any:
    import torch

    return torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
