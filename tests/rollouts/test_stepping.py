"""Classes with reset and step, in the shapes that packages give, played as any environment."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from playing import ROW, play

import customize
from customize._functions import describe_function


class Countdown:
    """Three steps; the second pays most. In one of three shapes."""

    made: list[Countdown]

    def __init__(self, row: Any, shape: str) -> None:
        self.row, self.shape, self.steps, self.closed, self.seed = row, shape, 0, 0, None
        self.said: list[Any] = []
        Countdown.made.append(self)

    def reset(self, seed: Any = None) -> Any:
        self.seed = seed
        if self.shape == "gymnasium":
            return "begin", {}
        return self._given("begin", None, False)

    def step(self, action: Any) -> Any:
        self.said.append(action)
        self.steps += 1
        reward, over = (0.25, 1.0, 0.5)[self.steps - 1], self.steps == 3
        if self.shape == "gymnasium":
            return f"{self.steps} done", reward, over, False, {}
        return self._given(f"{self.steps} done", reward, over)

    def _given(self, observation: str, reward: float | None, done: bool) -> Any:
        told = {"observation": observation, "reward": reward, "done": done}
        if self.shape == "objects":
            return attrs.make_class("Result", list(told))(**told)
        return told

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def _afresh() -> None:
    Countdown.made = []


@pytest.mark.parametrize("shape", ["gymnasium", "objects", "mappings"])
def test_each_shape_is_played_and_its_rewards_are_summed(shape: str) -> None:
    environment = customize.stepped(lambda row: Countdown(row, shape), action=str.upper)
    episodes = play(environment, "go", size=2)
    for episode in episodes:
        said = [m["content"] for m in episode.messages if m["role"] == "user"]
        assert said == ["begin", "1 done", "2 done"]
        assert (episode.reward, episode.turns, episode.error) == (1.75, 3, None)
    assert [world.said for world in Countdown.made] == [["GO"] * 3] * 2
    assert [world.closed for world in Countdown.made] == [1, 1]
    assert len({world.seed for world in Countdown.made}) == 2
    assert Countdown.made[0].row == ROW


def test_where_the_room_ends_what_was_reached_counts() -> None:
    [episode] = play(customize.stepped(lambda row: Countdown(row, "objects")), "go", max_turns=2)
    assert (episode.reward, episode.stop) == (1.25, "turns")
    assert Countdown.made[0].closed == 1


def refusing(text: str) -> str:
    raise customize.BadCall("no action")


@pytest.mark.parametrize("action", [int, refusing])
def test_what_is_no_action_is_the_models_fault_and_ends_the_episode(action: Any) -> None:
    said = iter(["1", "abc"])
    environment = customize.stepped(lambda row: Countdown(row, "objects"), action=action)
    [episode] = play(environment, lambda text: next(said))
    reached = (0.25, 2) if action is int else (0.0, 1)
    assert (episode.reward, episode.turns, episode.error) == (*reached, None)
    assert (episode.faults, episode.failed) == ({"bad_action": 1}, False)
    assert [world.closed for world in Countdown.made] == [1]


def test_what_step_raises_is_its_authors_fault() -> None:
    class Strict(Countdown):
        def step(self, action: Any) -> Any:
            raise ValueError("no such place")

    [episode] = play(customize.stepped(lambda row: Strict(row, "objects"), action=int), "1")
    assert (episode.error, episode.faults) == ("ValueError: no such place", {})


def test_another_shape_is_its_authors_fault() -> None:
    class Odd:
        def reset(self, seed: int) -> Any:
            return "begin"

    [episode] = play(customize.stepped(lambda row: Odd()), "go")
    assert str(episode.error).startswith("TypeError: reset and step give gymnasium's tuples")


def test_another_class_is_another_environment_to_a_run_that_goes_on() -> None:
    class One(Countdown):
        steps = 1

    class Two(Countdown):
        steps = 2

    given: list[Any] = [One, One, Two]
    one, same, two = (describe_function(customize.stepped(c)) for c in given)
    assert one == same != two
