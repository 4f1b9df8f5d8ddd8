"""What a practitioner watches, as numbers a step. Knows no session, and asks a base alone.

Shape legend: K tokens that were sampled.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from customize import Batch, Episode, Snapshot
from customize_grpo.algebra import seen_logprobs
from customize_grpo.choices import Choices
from customize_grpo.gathering import Gathered, counted, learnable

Numbers = npt.NDArray[np.float64]
_STOPS = ("done", "length", "turns", "tokens")


def of_episodes(choices: Choices, gathered: Gathered) -> dict[str, float]:
    """Of the episodes themselves. Of rewards and groups over those whose reward counts, of all else
    over those that did not fail: what is left out of learning for being cut was said all the same.

    reward, reward/…: the mean, and of each part. flat_right, flat_wrong: shares of groups in which
    all are rewarded alike, at least ``solved`` or less. length_ended: of replies that were not cut.
    entropy: nats a token, the mean of what each sampled token surprised the policy. distinct: share
    of different completions; most_said: of the commonest one. stop/…, faults/…, errors/…: shares of
    episodes, with the tool's name where one was called. calls/…: a number an episode.
    """
    every = gathered.episodes
    rewarded = counted(choices, every)
    sound = [episode for episode in every if not episode.failed]
    return {
        "episodes": float(len(every)),
        **_rewards(rewarded),
        **_groups(choices, rewarded),
        **_lengths(sound),
        **_shares(every, sound),
    }


def seconds_of(gathered: Gathered) -> dict[str, float]:
    """Of sampling and of environments apart; calls/…: of one call of a tool."""
    every = gathered.episodes
    calls = _calls(every)
    return {
        "sampling": gathered.seconds,
        "environment": sum(episode.seconds for episode in every),
        **{f"calls/{name}": seconds / max(n, 1) for name, (n, seconds) in calls.items()},
    }


def of_base(choices: Choices, base: Snapshot, gathered: Gathered) -> dict[str, float]:
    """``kl_to_base``: nats a token of what was sampled, on the episodes of ``watch_kl`` prompts of
    which something is learnt.

    One forward pass of the base on them: of one prompt in eight about a twentieth of what training
    on all of them computes.
    """
    taught = learnable(choices, gathered.episodes)
    groups = [*dict.fromkeys(e.group for e in taught)][: choices.watch_kl]
    spoken = [s for e in taught if e.group in groups for s in e.sequences]
    if not spoken:
        return {}
    batch = Batch.from_sequences([(s.tokens, {"weights": s.sampled}) for s in spoken])
    told_N = base.forward(batch).result()
    said_N = np.concatenate([s.policy_logprobs for s in spoken])
    return {"kl_to_base": _kl(told_N[batch.scored], said_N[batch.scored])}


def of_updates(
    choices: Choices, batch: Batch, logprobs: Sequence[npt.NDArray[np.float32]]
) -> dict[str, float]:
    """Of the log-probabilities that training saw, before each update.

    mismatch: the most that the first of them is away from the sampler's, in nats; with lag it is
    how far the policy has moved. ratio, ratio_max, clip_low, clip_high, ess: before the last
    update, of ratios as the option ``ratio`` has them; ess is the effective sample size as a share
    of the tokens. kl_to_start: nats a token.
    """
    scored = batch.scored
    sampled_K = batch.columns["sampling_logprobs"][scored].astype(np.float64)
    first_K = np.asarray(logprobs[0], np.float64)[scored]
    last_N = seen_logprobs(choices.ratio, np.asarray(logprobs[-1], np.float64), batch)
    ratio_K = np.exp(last_N[scored] - sampled_K)
    low, high = _thresholds(choices)
    out = {
        "mismatch": float(np.abs(first_K - sampled_K).max()),
        "ratio": float(ratio_K.mean()),
        "ratio_max": float(ratio_K.max()),
        "clip_low": float((ratio_K < low).mean()),
        "clip_high": float((ratio_K > high).mean()),
        "ess": float(ratio_K.sum() ** 2 / (ratio_K**2).sum() / len(ratio_K)),
        "tokens": float(batch.num_tokens),
        "trained_tokens": float(scored.sum()),
    }
    if "reference_logprobs" in batch.columns:
        out["kl_to_start"] = _kl(batch.columns["reference_logprobs"][scored], first_K)
    return out


def _kl(reference_K: npt.NDArray[np.floating], own_K: npt.NDArray[np.floating]) -> float:
    """The k3 estimate of KL(own || reference), which is never negative."""
    away_K = np.asarray(reference_K, np.float64) - np.asarray(own_K, np.float64)
    return float((np.expm1(away_K) - away_K).mean())


def _thresholds(choices: Choices) -> tuple[float, float]:
    low, high = float(choices.clip_low or 0.0), float(choices.clip_high or math.inf)
    if choices.clip == "ppo":
        return 1 - low, 1 + high
    return (low, high) if choices.clip == "weight" else (0.0, math.inf)


def _rewards(rewarded: Sequence[Episode]) -> Mapping[str, float]:
    rewards = np.array([episode.reward for episode in rewarded] or [0.0])
    parts: defaultdict[str, list[float]] = defaultdict(list)
    for episode in rewarded:
        for name, value in episode.parts.items():
            parts[name].append(value)
    return {
        "reward": float(rewards.mean()),
        "reward_std": float(rewards.std()),
        **{f"reward/{name}": float(np.mean(values)) for name, values in sorted(parts.items())},
    }


def _groups(choices: Choices, rewarded: Sequence[Episode]) -> Mapping[str, float]:
    groups: defaultdict[int, list[float]] = defaultdict(list)
    for episode in rewarded:
        groups[episode.group].append(episode.reward)
    flat = [rewards[0] for rewards in groups.values() if len(set(rewards)) == 1]
    right = sum(reward >= choices.solved for reward in flat)
    number = max(len(groups), 1)
    teaching = {episode.group for episode in learnable(choices, rewarded)}
    return {
        "groups": float(len(groups)),
        "groups_taught": float(len(teaching)),
        "flat_right": right / number,
        "flat_wrong": (len(flat) - right) / number,
    }


def _lengths(sound: Sequence[Episode]) -> Mapping[str, float]:
    lengths = [episode.num_sampled for episode in sound]
    ended = [episode.num_sampled for episode in sound if not episode.truncated]
    texts = Counter(episode.completion for episode in sound)
    said = [s.policy_logprobs for e in sound for s in e.sequences]
    surprise = sum(-float(logprobs_T.sum(dtype=np.float64)) for logprobs_T in said)
    return {
        "length": float(np.mean(lengths or [0])),
        "length_max": float(max(lengths, default=0)),
        "length_ended": float(np.mean(ended or [0])),
        "truncated": 1 - len(ended) / max(len(sound), 1),
        "entropy": surprise / max(sum(lengths), 1),
        "distinct": len(texts) / max(len(sound), 1),
        "most_said": max(texts.values(), default=0) / max(len(sound), 1),
        "turns": float(np.mean([episode.turns for episode in sound] or [0])),
    }


def _shares(every: Sequence[Episode], sound: Sequence[Episode]) -> dict[str, float]:
    out: dict[str, float] = {}
    number = max(len(every), 1)
    stops = Counter(episode.stop for episode in sound)
    out |= {f"stop/{stop}": stops[stop] / max(len(sound), 1) for stop in _STOPS}
    faults: Counter[str] = Counter()
    for episode in every:
        faults.update(episode.faults)
    out |= {f"faults/{kind}": count / number for kind, count in sorted(faults.items())}
    errors = Counter(e.error.partition(":")[0] for e in every if e.error is not None)
    out |= {f"errors/{kind}": count / number for kind, count in sorted(errors.items())}
    return out | {f"calls/{name}": n / number for name, (n, _) in _calls(every).items()}


def _calls(every: Sequence[Episode]) -> Mapping[str, tuple[int, float]]:
    """Of each tool, by name: how many, and their seconds."""
    found: dict[str, tuple[int, float]] = {}
    for episode in every:
        for name, (count, seconds) in episode.calls.items():
            before = found.get(name, (0, 0.0))
            found[name] = before[0] + count, before[1] + seconds
    return dict(sorted(found.items()))
