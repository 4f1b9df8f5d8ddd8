"""Failures of the environment: told, retried, and never anything that is learnt."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playing import play

import customize
from customize import Episode, OptionError
from customize.rollouts.limits import limited
from customize.rollouts.stages import stage_for

AGES = 30  # seconds: what nobody waits for


def failing(act: Callable[[], Any], seconds: float = 5.0) -> Any:
    """An environment that does something between the first turn and the reward."""

    @customize.environment(seconds=seconds)
    def acting(row: Any, rng: random.Random) -> Any:
        yield "Go."
        return act()

    return acting


def backtrack() -> None:
    re.match(r"(a|aa)+$", "a" * 60 + "b")


def swallow() -> float:
    for _ in range(3):
        with contextlib.suppress(Exception):
            time.sleep(0.4)
    return 1.0


def cling() -> float:
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        with contextlib.suppress(BaseException):
            time.sleep(0.2)
    return 1.0


def leave() -> None:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda: None, "TypeError: the reward is 'None' (NoneType), and no number"),
        (lambda: "good", "TypeError: the reward is 'good' (str), and no number"),
        (lambda: float("nan"), "ValueError: the reward is nan"),
        (lambda: {"won": float("inf")}, "ValueError: the part 'won' is inf"),
        (leave, "SystemExit: 3"),
    ],
)
def test_what_an_environment_does_wrong_is_told(act: Callable[[], Any], told: str) -> None:
    [episode] = play(failing(act), "ok")
    assert episode.error == told
    assert episode.traceback is not None
    assert "Error" in episode.traceback or "SystemExit" in episode.traceback


@pytest.mark.parametrize("act", [backtrack, swallow, cling, lambda: time.sleep(AGES)])
def test_a_time_limit_holds_whatever_the_code_does(act: Callable[[], Any]) -> None:
    began = time.monotonic()
    [episode] = play(failing(act, seconds=0.1), "ok")
    assert episode.error == "TimeoutError: nothing within 0.1 s"
    assert time.monotonic() - began < AGES


@pytest.mark.parametrize("value", [None, 3.5, [], [{"role": "user"}], object()])
def test_what_is_no_turn_is_told(value: Any) -> None:
    @customize.environment
    def odd(row: Any, rng: random.Random) -> Any:
        yield value
        return 1.0

    [episode] = play(odd, "ok")
    assert str(episode.error).startswith("TypeError: yielded")


NARRATED = [{"role": "narrator", "content": "Night falls."}]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (NARRATED, "TypeError: yielded"),
        ([{"content": "Night falls."}], "TypeError: yielded"),
        ([{"role": "assistant", "content": "", "tool_calls": [5]}], "AttributeError: 'int'"),
    ],
)
@pytest.mark.parametrize("at", [0, 1])
def test_a_message_that_cannot_be_written_fails_its_episode_alone(
    value: Any, told: str, at: int
) -> None:
    @customize.environment
    def odd(row: Any, rng: random.Random) -> Any:
        number = rng.random()
        yield value if number == doomed and at == 0 else "Go."
        yield value if number == doomed and at == 1 else "On."
        return number

    doomed = 2.0
    doomed = play(odd, "ok", size=3)[1].reward
    found = play(odd, "ok", size=3)
    assert [e.failed for e in found] == [False, True, False]
    assert str(found[1].error).startswith(told)
    assert found[1].traceback


def test_a_message_that_the_chat_template_refuses_fails_its_episode_alone() -> None:
    """Its own words are told: no role that this template has none for is known beforehand."""

    @customize.environment
    def odd(row: Any, rng: random.Random) -> Any:
        yield "Go."
        yield [{"role": "developer", "content": "Night falls."}]  # the toy has no such role
        return 1.0

    [episode] = play(odd, "ok")
    told = "RenderingError: no role 'developer': roles are system, user, assistant, tool"
    assert episode.error == told


def test_a_prompt_without_room_for_a_reply_is_no_fault_of_the_models() -> None:
    """Nothing is sampled and nothing judged; the row is named, and what to do."""
    asked = []

    def judge(completion: str) -> float:
        asked.append(completion)
        return 0.0

    long = {"messages": [{"role": "user", "content": "x" * 500}]}
    [episode] = play(customize.judged(judge), "ok", row=long, max_length=300)
    told = "DataError: the first prompt of row 1 has 503 tokens, and a sequence has 300 tokens at"
    assert str(episode.error).startswith(told)
    assert "raise max_length" in str(episode.error)
    assert (episode.turns, episode.faults, asked) == (0, {}, [])


LOOK = {"type": "function", "function": {"name": "look", "description": "Look."}}


@pytest.mark.parametrize("beside", [{"tools": [LOOK]}, {"documents": [{"text": "Night falls."}]}])
def test_what_a_later_turn_brings_beside_its_conversation_is_told(beside: Any) -> None:
    @customize.environment
    def offering(row: Any, rng: random.Random, first: bool = True) -> Any:
        yield customize.Turn("Go.", **(beside if first else {}))
        yield customize.Turn("On.", **beside)
        yield customize.Turn("Anew.", **beside, restart=True)
        return 1.0

    [episode] = play(offering, "ok", max_length=10_000)
    assert (episode.reward, episode.error) == (1.0, None)
    [episode] = play(offering.with_parameters({"first": "false"}), "ok")
    [name] = beside
    told = f"ValueError: yielded a Turn with {name} that its conversation has not: {name} belong to"
    assert str(episode.error).startswith(told)


def test_functions_are_no_tools_of_a_turn() -> None:
    @customize.environment
    def offering(row: Any, rng: random.Random) -> Any:
        yield customize.Turn("Go.", tools=[swallow])  # type: ignore[list-item]  # the point
        return 1.0

    [episode] = play(offering, "ok")
    assert str(episode.error).startswith("TypeError: the tools of a Turn are schemas, as {'type': ")
    assert "(got function)" in str(episode.error)


def test_a_failed_episode_is_played_again_with_a_fresh_environment() -> None:
    begun = []

    @customize.environment
    def once(row: Any, rng: random.Random) -> Any:
        begun.append(rng.random())
        yield "Go."
        if len(begun) == 1:
            raise OSError("sandbox gone")
        return 1.0

    [episode] = play(once, "ok")
    assert episode.reward == 1.0
    assert begun[0] == begun[1]  # the same seed: what did not fail would be the same


def test_a_failed_episode_leaves_its_siblings_alone() -> None:
    @customize.environment
    def second(row: Any, rng: random.Random) -> Any:
        number = rng.random()
        yield "Go."
        if number == doomed:
            raise OSError("sandbox gone")
        return number

    doomed = 2.0
    whole = play(second, "ok", size=4)
    doomed = whole[1].reward
    found = play(second, "ok", size=4)
    assert [e.failed for e in found] == [False, True, False, False]
    assert [e.reward for e in found if not e.failed] == [whole[i].reward for i in (0, 2, 3)]


def test_every_generator_is_closed_however_it_ends() -> None:
    open_now: list[str] = []

    @customize.environment(seconds=0.2)
    def guarded(row: Any, rng: random.Random, how: str = "ends") -> Any:
        open_now.append(how)
        try:
            yield "Go."
            if how == "raises":
                raise OSError("gone")
            if how == "sleeps":
                time.sleep(10)
            while how == "endless":
                yield "On."
            return 1.0
        finally:
            open_now.remove(how)

    for how in ("ends", "raises", "sleeps", "endless"):
        play(guarded.with_parameters({"how": how}), "ok", max_turns=3)
        assert open_now == []


def test_all_are_closed_when_sampling_itself_fails() -> None:
    closed = []

    @customize.environment
    def guarded(row: Any, rng: random.Random) -> Any:
        try:
            yield "Go."
            return 1.0
        finally:
            closed.append(1)

    def speaks(text: str) -> str:
        raise RuntimeError("the backend is gone")

    with pytest.raises(RuntimeError, match="the backend is gone"):
        play(guarded, speaks, size=3)
    assert len(closed) == 3


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        (failing(lambda: 1.0), "or make it an environment marked"),
        (customize.judged(lambda completion: 1.0), "or write an environment marked"),
    ],
)
def test_outside_the_main_thread_no_limit_would_hold_so_it_is_refused(
    environment: Any, told: str
) -> None:
    found: list[object] = []

    def work() -> None:
        try:
            play(environment, "ok")
        except OptionError as error:
            found.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert told in str(found[0])
    assert "isolate=True" in str(found[0])


def test_async_environments_wait_together_and_yield_the_reward_last() -> None:
    waiting = [0]

    async def world(text: str) -> str:
        waiting.append(waiting[-1] + 1)
        await asyncio.sleep(0.2)
        waiting.append(waiting[-1] - 1)
        return f"after {text}"

    @customize.environment
    async def outside(row: Any, rng: random.Random) -> Any:
        reply = yield "Go."
        for _ in range(2):
            reply = yield await world(reply.text)
        yield {"won": 1.0}

    episodes = play(outside, "ok", size=20)
    assert [e.reward for e in episodes] == [1.0] * 20
    assert episodes[0].messages[2]["content"] == "after ok"
    assert max(waiting) == 20


@pytest.mark.parametrize("reward", [np.float32(0.5), np.int64(2), np.bool_(True)])
def test_an_async_environment_may_yield_a_number_of_numpy(reward: Any) -> None:
    @customize.environment
    async def outside(row: Any, rng: random.Random) -> Any:
        yield np.str_("Go.")
        yield reward

    [episode] = play(outside, "ok")
    assert (episode.error, episode.reward, episode.turns) == (None, float(reward), 1)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("waits", "TimeoutError: nothing within 0.2 s"),
        ("blocks", "TimeoutError: nothing within 0.2 s"),
        ("raises", "OSError: gone"),
        ("leaves", "SystemExit: 3"),
        ("ends", "RuntimeError: ended without a reward: yield it last, a number or parts"),
    ],
)
def test_async_failures_are_told_and_leave_the_others_alone(how: str, told: str) -> None:
    closed: list[float] = []

    @customize.environment(seconds=0.2)
    async def outside(row: Any, rng: random.Random) -> Any:
        first = rng.random()
        try:
            yield "Go."
            if first == doomed and how == "waits":
                await asyncio.sleep(30)
            if first == doomed and how == "blocks":
                time.sleep(30)
            if first == doomed and how == "raises":
                raise OSError("gone")
            if first == doomed and how == "leaves":
                raise SystemExit(3)
            if first != doomed or how != "ends":
                yield first
        finally:
            closed.append(first)

    doomed = 2.0
    doomed = play(outside, "ok", size=3)[1].reward
    closed.clear()
    episodes = play(outside, "ok", size=3)
    assert [e.error for e in episodes] == [None, told, None]
    assert len(closed) == 4  # three, and the one that was played again


@customize.environment
async def going(row: Any, rng: random.Random) -> Any:
    yield "Go."
    yield 1.0


def test_within_an_event_loop_an_async_environment_is_refused_with_what_to_do() -> None:
    async def notebook() -> None:
        before = signal.getsignal(signal.SIGALRM)
        with pytest.raises(
            OptionError, match="going is async, and an event loop runs here already"
        ):
            play(going, "ok")
        assert signal.getsignal(signal.SIGALRM) is before

    asyncio.run(notebook())


def test_a_stage_that_is_interrupted_as_it_closes_still_gives_signals_back() -> None:
    @customize.environment
    async def interrupted(row: Any, rng: random.Random) -> Any:
        try:
            yield "Go."
        finally:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGALRM)
    stage = stage_for(interrupted)
    stage.__enter__()
    stage.send([(stage.begin({}, 0), None)])
    assert signal.getsignal(signal.SIGALRM) is not before
    with pytest.raises(KeyboardInterrupt):
        stage.__exit__(None, None, None)
    assert signal.getsignal(signal.SIGALRM) is before


def test_episodes_that_wait_together_take_the_time_that_passes_once() -> None:
    @customize.environment
    async def waits(row: Any, rng: random.Random) -> Any:
        yield "Go."
        await asyncio.sleep(0.2)
        yield 1.0

    began = time.perf_counter()
    episodes = play(waits, "ok", size=20)
    assert 0.2 <= sum(e.seconds for e in episodes) <= time.perf_counter() - began


def test_what_others_do_with_the_thread_is_not_charged_to_an_async_episode() -> None:
    """Ten hold it for .3 s each, within a limit of 2 s that all of them together are beyond."""
    begun = []

    @customize.environment(seconds=2.0)
    async def busy(row: Any, rng: random.Random) -> Any:
        begun.append(1)
        yield "Go."
        time.sleep(0.3)
        yield 1.0

    assert [e.error for e in play(busy, "ok", size=10)] == [None] * 10
    assert len(begun) == 10  # none is played again


@pytest.mark.parametrize("how", ["itself", "in a task of its own"])
def test_one_that_blocks_takes_no_time_from_those_that_wait(how: str) -> None:
    async def block() -> None:
        time.sleep(AGES)

    @customize.environment(seconds=1.0)
    async def outside(row: Any, rng: random.Random) -> Any:
        number = rng.random()
        yield "Go."
        if number == doomed:
            await (block() if how == "itself" else asyncio.gather(block()))
        await asyncio.sleep(0.01)  # began before the other took the thread, or after
        yield number

    doomed = 2.0
    doomed = play(outside, "ok", size=3)[1].reward
    began = time.monotonic()
    late = "TimeoutError: nothing within 1 s"
    assert [e.error for e in play(outside, "ok", size=3)] == [None, late, None]
    assert time.monotonic() - began < AGES


def test_an_async_episode_that_clings_to_its_time_is_left_behind() -> None:
    @customize.environment(seconds=0.2)
    async def clings(row: Any, rng: random.Random) -> Any:
        number = rng.random()
        yield "Go."
        while number == doomed:
            with contextlib.suppress(BaseException):
                await asyncio.sleep(0.1)
        yield number

    doomed = 2.0
    doomed = play(clings, "ok", size=3)[1].reward
    late = "TimeoutError: nothing within 0.2 s"
    assert [e.error for e in play(clings, "ok", size=3)] == [None, late, None]


def test_a_judge_of_siblings_sees_the_group_and_a_failure_fails_all_of_it() -> None:
    def longest(completions: Any, rows: Any) -> list[float]:
        return [float(len(c) == max(map(len, completions))) for c in completions]

    said = iter(["a", "bbb", "cc"])
    reward = {customize.group(longest): 2.0, _length: 1.0}
    episodes = play(customize.judged(reward), lambda text: next(said), size=3)
    assert [e.reward for e in episodes] == [1.0, 5.0, 2.0]
    assert episodes[1].parts == {"_length": 3.0, "longest": 1.0}

    def broken(completions: Any, rows: Any) -> list[float]:
        return [1.0]

    episodes = play(customize.judged(customize.group(broken)), "ok", size=3)
    told = "ValueError: broken judged 1 of 3 completions"
    assert [e.error for e in episodes] == [told, None, None]
    assert [e.void for e in episodes] == [False, True, True]


def test_a_siblings_failure_is_no_error_of_those_that_played_well() -> None:
    """They are left out, since they cannot be judged together; and they are not played again."""
    said, played, asked = iter("abcd"), [], []

    def picky(completion: str) -> float:
        played.append(completion)
        if completion in "bd":
            raise OSError("gone")
        return 1.0

    def judge(completions: Any, rows: Any) -> list[float]:
        asked.append(completions)
        return [1.0] * len(completions)

    reward = {picky: 1.0, customize.group(judge): 1.0}
    episodes = play(customize.judged(reward), lambda text: next(said), size=3)
    assert played == ["a", "b", "c", "d"]
    assert [e.error for e in episodes] == [None, "OSError: gone", None]
    assert [e.failed for e in episodes] == [True] * 3
    assert [e.void for e in episodes] == [True, False, True]
    assert not asked
    again = Episode.from_json(json.loads(json.dumps(episodes[0].to_json())))
    assert again.failed


def test_a_judge_is_asked_once_of_a_group_without_failure() -> None:
    asked = []

    def judge(completions: Any, rows: Any) -> list[float]:
        asked.append(len(completions))
        return [1.0] * len(completions)

    episodes: list[Episode] = play(customize.judged(customize.group(judge)), "ok", size=2)
    assert asked == [2]
    assert [e.reward for e in episodes] == [1.0, 1.0]


def test_a_judge_of_siblings_is_given_what_rewards_are_given() -> None:
    """With tools: neither calls nor thoughts."""
    judged = []

    def look(place: str) -> str:
        """Look there."""
        return place

    def judge(completions: Any, rows: Any) -> list[float]:
        judged.append(completions)
        return [1.0] * len(completions)

    def alone(completion: str) -> float:
        judged.append([completion])
        return 0.0

    reward = {customize.group(judge): 1.0, alone: 1.0}
    play(customize.judged(reward, [look]), "<think>Hm.</think> There.", size=2)
    assert judged == [["There."], ["There."], ["There.", "There."]]


def _length(completion: str) -> float:
    return float(len(completion))


def test_a_judge_of_siblings_has_a_limit_too() -> None:
    def slow(completions: Any, rows: Any) -> list[float]:
        time.sleep(AGES)
        return [1.0] * len(completions)

    began = time.monotonic()
    judged = customize.judged(customize.group(slow), seconds=0.1)
    episodes = play(judged, "ok", size=2)
    assert [e.error for e in episodes] == ["TimeoutError: nothing within 0.1 s", None]
    assert [e.failed for e in episodes] == [True, True]
    assert time.monotonic() - began < AGES


def test_every_call_of_a_reply_has_the_time_of_one() -> None:
    begun = []

    def look(place: str) -> str:
        """Look there."""
        begun.append(place)
        time.sleep(0.6 if place == "near" else AGES)
        return "nothing"

    def calls(*places: str) -> str:
        told = [f'{{"name": "look", "arguments": {{"place": "{place}"}}}}' for place in places]
        return "".join(f"<tool_call>{one}</tool_call>" for one in told)

    judged = customize.judged(_length, [look], seconds=2.0)
    said = iter([calls(*["near"] * 5), "done"])  # 3 s in all
    [episode] = play(judged, lambda text: next(said), max_tokens=1000)
    assert (episode.error, episode.calls["look"][0], begun) == (None, 5, ["near"] * 5)

    began = time.monotonic()
    [episode] = play(judged, calls("near", "far"), max_tokens=1000)
    assert episode.error == "TimeoutError: nothing within 2 s"
    assert time.monotonic() - began < AGES


@pytest.mark.parametrize("waits", [False, True])
def test_a_limit_holds_after_code_that_set_the_alarm_for_itself(waits: bool) -> None:
    heard = []

    def own() -> float:
        calls.append(1)
        if len(calls) > 1:
            time.sleep(AGES)
        signal.signal(signal.SIGALRM, lambda number, frame: heard.append(number))
        return 1.0

    @customize.environment(seconds=0.3)
    async def outside(row: Any, rng: random.Random) -> Any:
        yield "Go."
        yield own()

    calls: list[int] = []
    began = time.monotonic()
    episodes = play(outside if waits else failing(own, seconds=0.3), "ok", size=2)
    assert time.monotonic() - began < AGES
    assert [e.error for e in episodes] == [None, "TimeoutError: nothing within 0.3 s"]
    assert not heard


def test_a_limit_within_another_leaves_that_one_its_time() -> None:
    def inner() -> float:
        limited(5.0, time.sleep, 0.01)
        time.sleep(AGES)
        return 1.0

    began = time.monotonic()
    [episode] = play(failing(inner, seconds=0.2), "ok")
    assert episode.error == "TimeoutError: nothing within 0.2 s"
    assert time.monotonic() - began < AGES
