"""GRPO on the toy backend: learning, groups that teach nothing, failures, lag, resuming, replay."""

from __future__ import annotations

import contextlib
import json
import math
import random
import re
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from toy_rewards import ROWS, GivenRows, answers, likeness, session, steps, two_turns

import customize
from customize import EpisodesFailed, OptionError
from customize.runs.held_out import _environment_of as of_held_out
from customize.testing import ToyRenderer
from customize.training.around import SessionAround
from customize.training.context import WithinContext
from customize.training.state import read_step, write_step
from customize_grpo.gathering import Gathered, counted
from customize_grpo.method import GRPO
from customize_grpo.presets import NOTES, PRESETS
from customize_grpo.warning import warned

SMALL: dict[str, Any] = {"batch_size": 3, "group_size": 4, "steps": 3, "max_tokens": 8, "lr": 0.05}


def arm(completion: str) -> float:
    """A bandit of 256 arms, thirteen of which pay."""
    return float("a" <= completion[:1] <= "m")


@customize.environment
def two_steps(row: Any, rng: random.Random) -> Any:
    """The second choice counts only after the right first one."""
    reply = yield "left or right?"
    if not reply.text or ord(reply.text[0]) % 2:
        return 0.0
    reply = yield "up or down?"
    return 0.3 + 0.7 * float(bool(reply.text) and ord(reply.text[0]) % 3 == 0)


# Steps of 64 episodes; what scales advantages by itself wants a smaller rate.
RATES = {"reinforce++": 0.6}


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_a_bandit_is_learnt(preset: str | None) -> None:
    """At least .9 of the best reward within 20 steps of 64 episodes."""
    method = GRPO(
        reward=arm, preset=preset, batch_size=4, group_size=16, steps=20, max_tokens=1,
        lr=RATES.get(str(preset), 0.6), max_grad_norm=0.0, kl=0.0, refill=0, overlong=0.0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [step.metrics["reward"] for step in steps(method)]
    assert found[0] < 0.2
    assert max(found) >= 0.9


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_an_environment_of_two_steps_is_learnt(preset: str | None) -> None:
    method = GRPO(
        environment=two_steps, preset=preset, batch_size=4, group_size=16, steps=20, max_tokens=1,
        lr=0.6, max_grad_norm=0.0, kl=0.0, refill=0, overlong=0.0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [step.metrics["reward"] for step in steps(method)]
    assert found[0] < 0.5
    assert max(found) >= 0.9


def test_a_wrong_sign_is_seen() -> None:
    """The control of the two above."""
    method = GRPO(
        reward=lambda completion: -arm(completion),
        batch_size=4, group_size=16, steps=20, max_tokens=1, lr=0.6,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert steps(method)[-1].metrics["reward"] > -0.1


class Counting:
    """A session that counts what is asked of it, and of its base."""

    def __init__(self, inner: Any = None) -> None:
        self._inner = session() if inner is None else inner
        self.looked_at: list[int] = []
        self.trained: list[int] = []
        self.optimizer_steps = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def base(self) -> Any:
        base = Counting(self._inner.base())
        base.looked_at = self.looked_at
        return base

    def forward(self, batch: Any) -> Any:
        self.looked_at.append(batch.num_sequences)
        return self._inner.forward(batch)

    def forward_backward(self, batch: Any, loss: Any) -> Any:
        self.trained.append(batch.num_sequences)
        return self._inner.forward_backward(batch, loss)

    def optim_step(self, optimizer: Any) -> Any:
        self.optimizer_steps += 1
        return self._inner.optim_step(optimizer)


def flat_for_some(completion: str, messages: Any) -> float:
    if "0" in messages[0]["content"]:
        return 1.0
    if "1" in messages[0]["content"]:
        return 0.0
    return float(sum(map(ord, completion)))


def test_flat_groups_cost_no_pass_and_are_counted_by_kind() -> None:
    counting = Counting()
    method = GRPO(reward=flat_for_some, watch_kl=6, **{**SMALL, "batch_size": 6, "steps": 1})
    [step] = steps(method, counting)
    assert counting.trained == counting.looked_at == [4 * 4]
    assert step.metrics["flat_right"] == pytest.approx(1 / 6)
    assert step.metrics["flat_wrong"] == pytest.approx(1 / 6)
    assert step.metrics["groups_taught"] == 4


def test_when_all_are_flat_no_step_is_taken() -> None:
    counting = Counting()
    method = GRPO(reward=lambda completion: 1.0, **SMALL)
    found = steps(method, counting)
    assert counting.trained == counting.looked_at == []
    assert counting.optimizer_steps == 0
    assert [step.metrics["grad_norm"] for step in found] == [0.0] * 3
    assert np.array_equal(answers(counting), answers(session()))


def test_refill_samples_further_prompts_in_place_of_flat_groups() -> None:
    taught = []
    for refill in (0, 2, 20):
        settings = {**SMALL, "batch_size": 6, "steps": 1}
        [step] = steps(GRPO(reward=flat_for_some, refill=refill, **settings))
        assert step.state["place"] == step.metrics["groups"]
        taught.append(step.metrics["groups_taught"])
    assert taught[0] == 4
    assert 4 < taught[1] <= taught[2] == 6


FLOOD = "x" * 10**6


def forgiving() -> None:
    while True:
        with contextlib.suppress(Exception):
            time.sleep(30)


# What makes the reward.
BAD: dict[str, Any] = {
    "raises": lambda: 1 / 0,
    "is an endless regex": lambda: re.match(r"(a|aa)+$", "a" * 60 + "b"),
    "sleeps": lambda: time.sleep(30),
    "swallows the exception": forgiving,
    "is NaN": lambda: float("nan"),
    "is text": lambda: "good",
    "is nothing": lambda: None,
    "is 1 MB of text": lambda: FLOOD,
    "leaves": lambda: sys.exit(3),
    "never closes": lambda: 1.0,
}


class Drawn:
    """Environments of which a twentieth is bad in each of ten ways; and what became of them."""

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.opened = self.closed = 0

    def play(self, row: Any, rng: random.Random) -> Any:
        kind = [*BAD, *["good"] * 10][int(rng.random() * 20)]
        self.kinds.add(kind)
        self.opened += 1
        try:
            reply = yield row["messages"]
            if kind == "is 1 MB of text":
                yield FLOOD
            asked_to_end = 0
            while kind == "never closes" and asked_to_end < 4:
                try:
                    yield "On."
                except BaseException:  # that there is no room, and thrice that it is closed
                    asked_to_end += 1
            return float(len(set(reply.text))) if kind == "good" else BAD[kind]()
        finally:
            self.closed += 1


def test_what_fails_is_as_if_it_had_never_been_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten kinds of bad environments, together: half of all episodes."""
    drawn, with_failures = Drawn(), session()
    quick = customize.environment(seconds=0.1)(drawn.play)
    settings = {**SMALL, "batch_size": 6, "group_size": 8, "max_turns": 4, "max_length": 1024}
    settings |= {"observation_tokens": 32, "max_errors": 1.0}
    found = steps(GRPO(environment=quick, **settings), with_failures)
    episodes = [{**e, "step": s.number} for s in found for e in s.records["episodes"]]
    failed = [e for e in episodes if e["error"]]
    assert drawn.kinds == {*BAD, "good"}
    assert drawn.opened == drawn.closed >= len(episodes) + len(failed)  # these twice
    kinds = {name for step in found for name in step.metrics if name.startswith("errors/")}
    told = {
        f"errors/{kind}Error" for kind in ("ZeroDivision", "Timeout", "Value", "Type", "Runtime")
    }
    assert kinds == {*told, "errors/SystemExit"}
    assert max(len(e["error"]) for e in failed) < 200
    assert 0.3 < len(failed) / len(episodes) < 0.7
    _never_draw(monkeypatch, {(e["group"], e["index"]) for e in failed})
    good, without = Drawn(), session()
    never = steps(GRPO(environment=customize.environment(good.play), **settings), without)
    assert good.kinds == {"good"}
    assert np.array_equal(answers(with_failures), answers(without))
    assert not np.array_equal(answers(without), answers(session()))
    for before, after in zip(found, never, strict=True):
        assert before.metrics["reward"] == after.metrics["reward"]


def _never_draw(monkeypatch: pytest.MonkeyPatch, left_out: set[tuple[int, int]]) -> None:
    play = customize.Driver.play

    def fewer(self: Any, snapshot: Any, asks: Any) -> Any:
        return play(self, snapshot, [a for a in asks if (a.group, a.index) not in left_out])

    monkeypatch.setattr(customize.Driver, "play", fewer)


def test_when_too_many_fail_the_run_stops_with_the_authors_own_error() -> None:
    def gone(completion: str) -> float:
        raise OSError("sandbox gone")

    with pytest.raises(EpisodesFailed) as raised:
        steps(GRPO(reward=gone, **SMALL))
    told = str(raised.value)
    assert told.startswith("12 of 12 episodes failed, of which max_errors allows 10%; the first: ")
    assert "OSError: sandbox gone" in told
    assert "in gone" in told
    assert "(row " in told


def test_one_that_fails_beside_a_judge_of_siblings_is_counted_once() -> None:
    """Of 48 episodes one is bad: its group is left out, and the run goes on."""
    bad: list[str] = []

    def picky(completion: str) -> float:
        if completion in bad:
            raise OSError("gone")
        return float(len(completion))

    def judge(completions: Any, rows: Any) -> list[float]:
        return [float(len(completion)) for completion in completions]

    method = GRPO(
        reward=(picky, customize.group(judge)), batch_size=6, group_size=8, steps=1, max_tokens=8
    )
    [step] = steps(method)
    said = [e["messages"][-1]["content"] for e in step.records["episodes"]]
    bad.append(next(text for text in said if said.count(text) == 1))
    with pytest.warns(UserWarning, match="1 of 48 episodes failed"):
        [step] = steps(method)
    assert step.metrics["errors/OSError"] == 1 / 48
    assert [name for name in step.metrics if name.startswith("errors/")] == ["errors/OSError"]
    assert step.metrics["groups"] == 5


def test_a_judge_that_fails_of_one_group_is_one_error_and_stops_no_run() -> None:
    asked: list[int] = []

    def judge(completions: Any, rows: Any) -> list[float]:
        asked.append(1)
        if len(asked) in failing:
            raise OSError("gone")
        return [float(len(completion)) for completion in completions]

    failing = {1, 4}  # the first of three groups, and again when it is played again
    method = GRPO(reward=customize.group(judge), batch_size=3, group_size=8, steps=1, max_tokens=4)
    with pytest.warns(UserWarning, match="1 of 24 episodes failed"):
        [step] = steps(method)
    assert step.metrics["errors/OSError"] == 1 / 24
    assert step.metrics["groups"] == 2


@pytest.mark.filterwarnings("ignore:2 of 32 episodes failed")
def test_a_judge_that_always_fails_stops_the_run_however_large_its_groups() -> None:
    def judge(completions: Any, rows: Any) -> list[float]:
        raise OSError("gone")

    settings: dict[str, Any] = {"batch_size": 2, "group_size": 16, "steps": 3, "max_tokens": 2}
    told = "nothing is left of two steps in a row; of the second 2 of 32 episodes failed"
    with pytest.raises(EpisodesFailed, match=told):
        steps(GRPO(reward=customize.group(judge), **settings))
    assert len(steps(GRPO(reward=customize.group(judge), max_errors=1.0, **settings))) == 3


class Flaky:
    """A reward that fails once and again as it is played again, in each of some groups of eight."""

    def __init__(self, num_groups: int) -> None:
        self.asked = 0
        self._failing = {8 * group for group in range(num_groups)}
        self._failing |= {8 * num_groups + group for group in range(num_groups)}

    def __call__(self, completion: str) -> float:
        self.asked += 1
        if self.asked - 1 in self._failing:
            raise OSError("flaky")
        return float(len(completion))


@pytest.mark.parametrize("max_errors", [0.5, 1.0])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_step_of_which_nothing_is_left_teaches_nothing_and_the_run_goes_on(
    batch_size: int, max_errors: float
) -> None:
    """Where one episode of each group fails, a judge of siblings leaves out them all."""

    def judge(completions: Any, rows: Any) -> list[float]:
        return [float(ord(completion[:1] or "a")) for completion in completions]

    counting = Counting()
    method = GRPO(
        reward=(customize.group(judge), Flaky(batch_size)),
        batch_size=batch_size, group_size=8, steps=2, max_tokens=4, max_errors=max_errors,
    )  # fmt: skip
    told = f"{batch_size} of {8 * batch_size} episodes failed, .*; nothing is learnt of this step"
    with pytest.warns(UserWarning, match=told):
        first, second = steps(method, counting)
    assert first.metrics["errors/OSError"] == 1 / 8
    assert (first.metrics["trained_tokens"], first.metrics["groups"]) == (0.0, 0.0)
    assert counting.optimizer_steps == 1
    assert second.metrics["trained_tokens"] > 0


def test_steps_of_which_nothing_is_left_are_counted_across_a_resumed_run() -> None:
    def judge(completions: Any, rows: Any) -> list[float]:
        raise OSError("gone")

    settings: dict[str, Any] = {"batch_size": 1, "group_size": 2, "steps": 3, "max_tokens": 2}
    method = GRPO(reward=customize.group(judge), max_errors=0.5, **settings)
    going = method.train(session(), GivenRows(ROWS))
    with pytest.warns(UserWarning, match="nothing is learnt of this step"):
        first = next(going)
    resumed = method.train(session(), GivenRows(ROWS), resume=first)
    with pytest.raises(EpisodesFailed, match="of two steps in a row"):
        next(resumed)


def cut(completion: str, truncated: bool) -> float:
    return 2.0 if truncated else float(len(completion))


@pytest.mark.parametrize("truncated", ["judge", "drop", "penalise"])
def test_what_becomes_of_episodes_that_were_cut(truncated: str) -> None:
    settings = {**SMALL, "max_tokens": 200, "steps": 1, "group_size": 16}
    [step] = steps(GRPO(reward=cut, truncated=truncated, **settings))
    records = step.records["episodes"]
    were_cut = [e for e in records if e["stop"] == "length"]
    ended = [e for e in records if e["stop"] == "done"]
    assert were_cut
    assert ended
    counted = {
        "judge": [e["reward"] for e in records],
        "drop": [e["reward"] for e in ended],
        "penalise": [e["reward"] if e in ended else 0.0 for e in records],
    }
    assert step.metrics["reward"] == pytest.approx(np.mean(counted[truncated]))
    assert step.metrics["faults/tokens"] == len(were_cut) / len(records)
    advantages = [e["advantage"] for e in were_cut]
    assert (truncated == "drop") == all(a is None for a in advantages)
    cut_share = len(were_cut) / len(records)
    lengths = [sum(b - a for s in e["sequences"] for a, b in s["spans"]) for e in records]
    assert step.metrics["truncated"] == pytest.approx(cut_share)
    assert step.metrics["stop/length"] == pytest.approx(cut_share)
    assert step.metrics["length"] == pytest.approx(np.mean(lengths))
    assert step.metrics["length_max"] == max(lengths)


class Weighed(Counting):
    """Keeps the batch that it was last trained on."""

    def forward_backward(self, batch: Any, loss: Any) -> Any:
        self.batch = batch
        return self._inner.forward_backward(batch, loss)


@pytest.mark.parametrize("preset", ["reinforce++", "grpo", "rloo"])
def test_what_is_kept_of_an_episode_is_what_it_was_learnt_from(preset: str) -> None:
    """Its advantage is the mean of its tokens', whitened and with KL; its reward that which
    counted, beside the one it was judged with."""
    on = Weighed()
    settings = {**SMALL, "steps": 1, "group_size": 16, "max_tokens": 60, "overlong": 0.5}
    method = GRPO(reward=likeness, preset=preset, truncated="penalise", **settings)
    records = steps(method, on)[-1].records["episodes"]
    taught = [e for e in records if e["advantage"] is not None]
    means, at = [], 0
    lengths = [len(s["tokens"]) for e in taught for s in e["sequences"]]
    for length in lengths:
        part = slice(at, at + length)
        scored, at = on.batch.scored[part], at + length
        means.append(on.batch.columns["advantages"][part][scored].mean())
    assert [e["advantage"] for e in taught] == pytest.approx(means, rel=1e-4, abs=1e-6)
    for told, one in zip(records, counted(method, map_back(records)), strict=True):
        assert told["counted"] == one.reward
    assert any(told["counted"] != told["reward"] for told in records)


@customize.environment
def talkative(row: Any, rng: random.Random) -> Any:
    said = 0
    try:
        for _ in range(20):
            reply = yield "Go on."
            said += len(reply.text)
    except customize.OutOfRoom:
        pass
    return float(said)


def test_no_episode_is_longer_than_what_the_model_holds() -> None:
    """Neither to learn from nor held-out: one that is would stop the run."""
    within = WithinContext(SessionAround(WithinContext(session(), 64)), 64)
    assert SessionAround(within).context() == 64
    method = GRPO(environment=talkative, solved=-1.0, **{**SMALL, "steps": 1})
    [step] = steps(method, SessionAround(within))
    lengths = [len(s["tokens"]) for e in step.records["episodes"] for s in e["sequences"]]
    assert 40 < max(lengths) <= 64
    assert {e["stop"] for e in step.records["episodes"]} == {"tokens"}
    held_out = method.validate(SessionAround(within), GivenRows(ROWS))
    assert (
        held_out["validation_reward"]
        < method.validate(session(), GivenRows(ROWS))["validation_reward"]
    )


def map_back(records: Any) -> list[customize.Episode]:
    return [customize.Episode.from_json(told) for told in records]


def worse_when_longer(completion: str) -> float:
    return -1.0 if len(completion) < 6 else -2.0


def test_to_be_cut_is_never_better_than_what_was_judged() -> None:
    """Where rewards are below 0, a reward of 0 would be the best of all."""
    settings = {**SMALL, "max_tokens": 8, "steps": 1, "group_size": 16}
    [step] = steps(GRPO(reward=worse_when_longer, truncated="penalise", **settings))
    records = step.records["episodes"]
    assert any(e["stop"] == "length" for e in records)
    assert step.metrics["reward"] == pytest.approx(np.mean([e["reward"] for e in records]))


def test_shares_that_are_clipped_are_of_the_ratios_that_the_loss_clips() -> None:
    """Log-ratios of tokens that cancel out: the ratio of the sequence is 1, and nothing clipped."""
    from customize_grpo.watching import of_updates

    before = np.array([0, -1, -1, -1, -1], np.float32)
    columns = {"weights": np.array([0, 1, 1, 1, 1]), "sampling_logprobs": before}
    batch = customize.Batch.from_sequences([(np.arange(5, dtype=np.int32), columns)])
    now = before + np.array([0, 0.5, -0.5, 0.5, -0.5], np.float32)
    names = ("clip_low", "clip_high", "ratio_max", "ess")
    for ratio, wanted in (("sequence", [0, 0, 1, 1]), ("token", [0.5, 0.5, 1.64872, 0.82403])):
        method = GRPO(reward=arm, preset="gspo", ratio=ratio)
        found = of_updates(method, batch, [now])
        assert [found[name] for name in names] == pytest.approx(wanted, abs=1e-3)


def spoken(lengths: list[int], parts: Any = None) -> customize.Episode:
    """Replies of so many tokens each, in one sequence, a token of another between them."""
    sampled = np.concatenate([[False, *[True] * length] for length in lengths])
    tokens, logprobs = np.ones(len(sampled), np.int32), np.zeros(len(sampled), np.float32)
    return customize.Episode(
        place=0, group=0, index=0, seed=0, turns=len(lengths), stop="done", faults={}, calls={},
        sequences=(customize.Spoken(tokens, sampled, logprobs),), reward=1.0, parts=parts or {},
        messages=(), seconds=0.0,
    )  # fmt: skip


def test_overlong_takes_off_for_the_longest_reply_as_a_part_of_its_own() -> None:
    """By hand: of 10 tokens the last 4 cost a quarter each."""
    method = GRPO(reward=arm, max_tokens=10, overlong=0.4)
    given = [spoken([6]), spoken([6, 7, 2]), spoken([10]), spoken([9], {"overlong": -0.1})]
    found = counted(method, given)
    assert [e.reward for e in found] == pytest.approx([1.0, 0.75, 0.0, 1.0])
    assert [e.parts["overlong"] for e in found] == pytest.approx([0.0, -0.25, -1.0, -0.1])
    assert counted(GRPO(reward=arm, max_tokens=10), given) == given


def test_what_is_overlong_is_learnt_from_and_logged() -> None:
    settings = {**SMALL, "max_tokens": 60, "group_size": 16, "steps": 1}
    [step] = steps(GRPO(reward=lambda completion: 1.0, overlong=1.0, **settings))
    lengths = [
        np.mean([sum(b - a for a, b in s["spans"]) for s in e["sequences"]])
        for e in step.records["episodes"]
    ]
    assert step.metrics["reward/overlong"] == pytest.approx(-np.mean(lengths) / 60)
    assert step.metrics["reward"] == pytest.approx(1 - np.mean(lengths) / 60)
    longest = max(zip(lengths, step.records["episodes"], strict=True), key=lambda one: one[0])
    assert longest[1]["advantage"] < 0


def test_ahead_of_itself_by_nothing_it_is_in_lockstep_and_by_two_it_is_not() -> None:
    versions = {}
    for lag in (0, 2):
        found = steps(GRPO(reward=likeness, lag=lag, **{**SMALL, "steps": 5}))
        versions[lag] = [step.records["episodes"][0]["version"] for step in found]
        assert (found[-1].metrics["mismatch"] > 1e-3) == (lag > 0)
        assert found[0].metrics["mismatch"] == 0.0
    assert versions == {0: [0, 1, 2, 3, 4], 2: [0, 0, 0, 1, 2]}


def test_killed_with_episodes_pending_it_goes_on_bit_for_bit(tmp_path: Path) -> None:
    method = GRPO(reward=flat_for_some, lag=1, refill=1, **{**SMALL, "steps": 5})
    unbroken = session()
    states = []
    for number, step in enumerate(method.train(unbroken, GivenRows(ROWS)), start=1):
        folder = tmp_path / str(number)
        folder.mkdir()
        unbroken.save(folder)
        write_step(folder, step)
        states.append(step.state)
    assert len(states[0]["pending"]) == 1
    for number in range(1, 5):
        resumed = session(seed=99)
        resumed.load(tmp_path / str(number))
        last = read_step(tmp_path / str(number))
        rest = list(method.train(resumed, GivenRows(ROWS), last))
        assert [step.number for step in rest] == list(range(number + 1, 6))
        assert np.array_equal(answers(resumed), answers(unbroken))


@pytest.mark.parametrize("kl", [0.0, 0.1])
def test_a_step_is_replayed_from_its_episodes_bit_for_bit(kl: float) -> None:
    method = GRPO(environment=two_turns, kl=kl, truncated="penalise", overlong=0.5, **SMALL)
    first, again = session(), session()
    data = GivenRows(ROWS)
    for step in method.train(first, data):
        told = json.loads(json.dumps(step.records))
        replayed = method.retake(again, step.number, 3, told)
        assert replayed.metrics == step.metrics
    assert np.array_equal(answers(first), answers(again))


def test_how_far_the_policy_is_from_its_base_is_logged_and_can_be_left_out() -> None:
    """Of the first prompt's episodes, by hand."""
    settings = {**SMALL, "lr": 0.5}
    found = steps(GRPO(reward=likeness, **settings))
    assert found[0].metrics["kl_to_base"] == 0.0
    last, base = found[-1], session().base()
    group = last.records["episodes"][0]["group"]
    apart = []
    for told in last.records["episodes"]:
        for one in customize.Episode.from_json(told).sequences if told["group"] == group else ():
            batch = customize.Batch.from_sequences([(one.tokens, {"weights": one.sampled})])
            here = base.forward(batch).result()[one.sampled].astype(float)
            apart += [math.exp(a) - 1 - a for a in here - one.logprobs[one.sampled]]
    assert last.metrics["kl_to_base"] == pytest.approx(sum(apart) / len(apart))
    assert last.metrics["kl_to_base"] > 1e-3
    assert set(last.seconds) == {"sampling", "environment", "watching", "training"}
    without = steps(GRPO(reward=likeness, watch_kl=0, **settings))
    assert "kl_to_base" not in without[-1].metrics
    assert without[-1].metrics["grad_norm"] == last.metrics["grad_norm"]
    assert "base" not in GRPO(reward=likeness, watch_kl=0).needed()


def test_the_first_failure_is_told_whole_and_only_once() -> None:
    def sometimes(completion: str) -> float:
        if "a" in completion:
            raise OSError("sandbox gone")
        return float(len(completion))

    method = GRPO(reward=sometimes, max_errors=1.0, **{**SMALL, "max_tokens": 60})
    with pytest.warns(UserWarning, match="episodes failed") as told:
        steps(method)
    found = [str(one.message) for one in told if "episodes failed" in str(one.message)]
    assert len(found) == 1
    assert "OSError: sandbox gone" in found[0]
    assert re.search(r"\(row \d+, seed \d+, of sometimes\)", found[0])
    assert "in sometimes" in found[0]


def test_calls_of_tools_are_counted_and_timed_by_tool() -> None:
    from customize_grpo.watching import of_episodes, seconds_of

    episodes = [
        attrs.evolve(spoken([1]), calls={"look": (2, 0.5)}, faults={"bad_call/look": 1}),
        attrs.evolve(spoken([1]), calls={"look": (1, 0.1), "add": (1, 0.2)}),
    ]
    gathered = Gathered(episodes, 0, 1.5)
    seen = of_episodes(GRPO(reward=arm), gathered)
    assert (seen["calls/look"], seen["calls/add"], seen["faults/bad_call/look"]) == (1.5, 0.5, 0.5)
    seconds = seconds_of(gathered)
    assert seconds["calls/look"] == pytest.approx(0.2)
    assert seconds["sampling"] == 1.5


def test_held_out_rows_are_played_by_the_same_driver() -> None:
    found = GRPO(reward=arm, solved=0.5, validation_samples=8, max_tokens=1).validate(
        session(), GivenRows(ROWS)
    )
    assert next(iter(found)) == "validation_loss"
    assert found["validation_loss"] == -found["validation_reward"]
    assert found["validation_reward/arm"] == found["validation_reward"]
    assert 0 < found["pass@1"] < found["pass@8"] <= 1
    again = GRPO(reward=arm, solved=0.5, validation_samples=8, max_tokens=1).validate(
        session(seed=5), GivenRows(ROWS)
    )
    assert found == again


def sometimes_gone(completion: str) -> float:
    """Fails for about one completion in eight."""
    if completion and ord(completion[0]) % 8 == 0:
        raise OSError("the judge is gone")
    return 1.0


def test_held_out_episodes_that_fail_are_counted_and_told() -> None:
    settings: dict[str, Any] = {"validation_samples": 8, "max_tokens": 4}
    method = GRPO(reward=sometimes_gone, max_errors=0.5, **settings)
    with pytest.warns(UserWarning, match="held-out") as told:
        found = method.validate(session(), GivenRows(ROWS))
    assert 0 < found["validation_errors/OSError"] < 0.5
    assert found["validation_reward"] == 1.0
    [text] = {str(one.message) for one in told}
    for part in ("OSError: the judge is gone", "row ", "seed ", "in sometimes_gone"):
        assert part in text

    with pytest.raises(EpisodesFailed, match="of 48 held-out episodes failed") as stopped:
        GRPO(reward=sometimes_gone, max_errors=0.0, **settings).validate(session(), GivenRows(ROWS))
    assert "the judge is gone" in str(stopped.value)


def test_held_out_rows_of_which_nothing_is_left_are_no_measure() -> None:
    def judge(completions: Any, rows: Any) -> list[float]:
        raise OSError("gone")

    method = GRPO(reward=customize.group(judge), max_errors=0.5, validation_samples=4, max_tokens=4)
    told = "nothing is left to measure on: 6 of 24 held-out episodes failed, .*hold out more rows"
    with pytest.raises(EpisodesFailed, match=told):
        method.validate(session(), GivenRows(ROWS))


def test_held_out_rewards_count_as_those_of_training_do() -> None:
    def measured(**options: Any) -> Any:
        method = GRPO(reward=lambda completion: 1.0, max_tokens=4, max_length=300, **options)
        return method.validate(session(), GivenRows(ROWS))

    assert measured()["validation_reward"] == 1.0
    shortened = measured(overlong=1.0)
    assert shortened["validation_reward"] == 1.0 + shortened["validation_reward/overlong"] < 1.0
    assert measured(truncated="penalise")["validation_reward"] < 1.0
    assert measured(truncated="drop") == measured()  # what is not learnt from is still measured
    assert shortened["pass@1"] == 1.0  # by what the environment said


def loophole(completion: str) -> dict[str, float]:
    """What was meant is to say many things; what pays more is to say e."""
    return {"many": len(set(completion)) / 8, "e": 2.0 * completion.count("e")}


def test_a_planted_loophole_is_told() -> None:
    method = GRPO(
        reward=loophole, batch_size=4, group_size=16, steps=14, max_tokens=12, lr=2.0,
        max_grad_norm=0.0,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="step") as told:
        steps(method)
    found = [str(one.message).partition(": ")[2] for one in told]
    assert len(found) == len({*found}) == 4  # each once
    for text in (
        "the reward's part loophole.e rises while loophole.many falls",
        "entropy has fallen from",
        "of the completions are one and the same",
        "of the episodes are cut",
    ):
        assert any(text in one for one in found), text


STEADY = {
    "reward/a": 0.5, "entropy": 1.0, "length": 20.0, "truncated": 0.0, "most_said": 0.1,
    "groups": 8.0, "groups_taught": 6.0, "flat_right": 0.125, "flat_wrong": 0.125,
}  # fmt: skip


@pytest.mark.parametrize(
    ("later", "told"),
    [
        ({}, None),
        ({"length": 60.0}, "episodes have grown from 20 to"),
        ({"groups_taught": 0.0, "flat_right": 0.0, "flat_wrong": 1.0}, "hardly a group teaches"),
        ({"truncated": 0.5}, "of the episodes are cut"),
    ],
)
def test_trouble_is_told_once_when_it_lasts(later: dict[str, float], told: str | None) -> None:
    state: dict[str, Any] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(1, 30):
            state = warned(state, {**STEADY, **(later if number > 5 else {})}, number)
    found = [str(one.message) for one in caught]
    assert len(found) == (told is not None)
    assert told is None or told in found[0]


def test_a_preset_says_what_it_sets(capsys: pytest.CaptureFixture[str]) -> None:
    steps(GRPO(reward=likeness, preset="dapo", scale="none", **SMALL))
    [told] = [line for line in capsys.readouterr().err.splitlines() if "preset" in line]
    assert "preset dapo: baseline=mean, scale=none, per=prompt" in told
    assert "clip_high=0.28" in told
    assert "refill=3, overlong=0.2 (" in told
    assert "per=token" in told


PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "learn-by-reward.md"


def test_the_table_of_presets_in_the_docs_is_what_they_set() -> None:
    shown = re.findall(r"^\| `([^`]+)` \| [\d.]+ \|(.+)\|.+\|$", PAGE.read_text("utf-8"), re.M)
    told = {preset: tuple(cells.replace(" ", "").split("|")) for preset, cells in shown}
    made = {preset: GRPO(reward=arm, preset=preset) for preset in PRESETS}
    assert told == {k: (m.baseline, m.scale, m.per, m.ratio) for k, m in made.items()}


def test_every_preset_says_what_of_its_paper_it_leaves_out() -> None:
    assert set(NOTES) == set(PRESETS)
    assert all(NOTES.values())


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "give reward"),
        ({"reward": arm, "environment": two_turns}, "give reward"),
        ({"environment": two_turns, "tools": (arm,)}, "tools go with reward"),
        ({"environment": two_turns, "seconds": 5.0}, "seconds goes with reward"),
        ({"reward": arm, "temperature": 0.7}, "the ratio would be wrong"),
        ({"reward": arm, "top_p": 0.9}, "the ratio would be wrong"),
        ({"reward": arm, "group_size": 1}, "group_size must be >= 2"),
        ({"reward": arm, "preset": "dpo"}, "preset must be one of"),
        ({"reward": arm, "clip": "none", "dual": 3.0}, "dual is read by clip=ppo alone"),
        ({"reward": arm, "surrogate": arm, "dual": 3.0}, "dual is not read with surrogate"),
        ({"reward": arm, "surrogate": arm, "clip": "ppo"}, "clip is not read with surrogate"),
        ({"reward": arm, "surrogate": arm, "clip_low": 0.1}, "clip_low is not read with surrogate"),
        ({"reward": arm, "clip": "none", "clip_high": 2.0}, "clip_high is not read with clip=none"),
        ({"reward": arm, "preset": "opo", "clip_low": 0.1}, "clip_low is not read with clip=none"),
        ({"reward": arm, "horizon": 7}, "horizon is not read without per=constant"),
        ({"reward": arm, "kl_as": "loss"}, "kl_as is not read with kl=0"),
        ({"reward": arm, "preset": "grpo", "surrogate": arm}, None),
        ({"reward": arm, "preset": "rloo", "per": "token"}, None),
        ({"reward": arm, "preset": "grpo", "kl": 0.0}, None),
        ({"reward": arm, "clip": "ppo"}, None),
        ({"reward": arm, "baseline": "none", "group_size": 1}, None),
        ({"reward": arm, "baseline": "none", "scale": "tokens"}, None),
        ({"reward": arm, "temperature": 0.7, "behaviour": "sampler"}, None),
    ],
)
def test_options_that_make_no_sense_are_refused(given: dict[str, Any], told: str | None) -> None:
    if told is None:
        method = GRPO(**given)
        assert attrs.evolve(method) == method  # type: ignore[misc]  # of @options; from what it has settled, as a recipe keeps it
        return
    with pytest.raises(OptionError, match=told):
        GRPO(**given)


def test_the_limit_of_rewards_tools_and_judges_is_an_option() -> None:
    assert GRPO(reward=arm).played().seconds == 30.0
    method = GRPO(reward=arm, seconds=0.2)
    found = of_held_out(method)
    assert found is not None
    assert (method.played().seconds, found.seconds) == (0.2, 0.2)
    assert customize.judged(arm).seconds == customize.judged(arm, seconds=None).seconds == 30.0


@pytest.mark.parametrize(
    ("options", "scale"),
    [
        ({"baseline": "none", "scale": "group"}, "group"),
        ({"baseline": "none", "scale": "batch"}, "batch"),
        ({"preset": "cispo", "baseline": "none"}, "group"),
    ],
)
def test_a_scale_without_a_baseline_is_refused_of_what_begins_and_not_of_what_is_done(
    options: dict[str, Any], scale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was begun before this was refused goes on, and its steps are taken again."""
    told = f"scale={scale} needs a baseline"
    method = GRPO(reward=likeness, **options, **{**SMALL, "steps": 2})
    with pytest.raises(OptionError, match=told):
        method.check_ahead(GivenRows(ROWS), ToyRenderer(), None)
    with pytest.raises(OptionError, match=told):
        steps(method)
    with monkeypatch.context() as before:
        before.setattr(GRPO, "check_scale", lambda self: None)
        first, second = steps(method)
    on = session()
    assert method.retake(on, 1, 2, first.records).metrics == first.metrics
    [again] = method.train(on, GivenRows(ROWS), resume=first)
    assert again.metrics == second.metrics


def test_off_temperature_the_ratio_is_to_the_sampler() -> None:
    [step] = steps(
        GRPO(reward=likeness, temperature=0.5, behaviour="sampler", **{**SMALL, "steps": 1})
    )
    assert step.metrics["mismatch"] > 0.1


@pytest.mark.parametrize("kl_as", ["to_go", "reward", "loss"])
def test_off_temperature_the_policy_is_still_where_it_began(kl_as: str) -> None:
    """Before the first update KL is 0: rewards alone make the advantages, whatever KL weighs."""
    settings = {**SMALL, "steps": 1, "temperature": 0.5, "behaviour": "sampler"}
    [without] = steps(GRPO(reward=likeness, **settings))
    [step] = steps(GRPO(reward=likeness, kl=100.0, kl_as=kl_as, **settings))
    assert step.metrics["loss"] == pytest.approx(without.metrics["loss"], abs=1e-6)
    assert step.metrics["kl_to_start"] == step.metrics["kl_to_base"] == 0.0
    surprise = []
    for told in step.records["episodes"]:
        for one in customize.Episode.from_json(told).sequences:
            batch = customize.Batch.from_sequences([(one.tokens, {"weights": one.sampled})])
            surprise += [-x for x in session().base().forward(batch).result()[one.sampled].tolist()]
    assert step.metrics["entropy"] == pytest.approx(sum(surprise) / len(surprise))


def test_a_column_that_is_missing_is_told_before_anything_is_sampled() -> None:
    def needs(completion: str, answer: str) -> float:
        return float(completion == answer)

    counting = Counting()
    with pytest.raises(OptionError, match="asks for answer, which row 1 has not"):
        steps(GRPO(reward=needs, **SMALL), counting)
