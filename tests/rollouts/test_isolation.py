"""Environments in a process of their own."""

from __future__ import annotations

import random
from typing import Any

import attrs
import isolated_environments
import pytest
from playing import play

import customize
from customize import OptionError


def test_it_plays_like_one_that_is_not_isolated() -> None:
    open_one = customize.Environment(isolated_environments.guarded.function, "guarded")
    isolated, open_ = (
        play(environment, "ok", size=3) for environment in (isolated_environments.guarded, open_one)
    )
    assert [e.messages for e in isolated] == [e.messages for e in open_]
    assert [e.parts for e in isolated] == [e.parts for e in open_]
    assert isolated[0].parts["length"] == 2.0


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("hangs", "TimeoutError: nothing within 1 s"),
        ("crashes", "Crash: its process ended (nothing more came; exit code 7)"),
        ("raises", "OSError: gone"),
    ],
)
def test_one_that_takes_its_process_down_leaves_the_others_as_they_were(
    how: str, told: str
) -> None:
    whole = play(isolated_environments.guarded, "ok", size=3)
    doomed = {"doomed": str(whole[1].parts["number"]), "how": how}
    found = play(isolated_environments.guarded.with_parameters(doomed), "ok", size=3)
    assert [str(e.error) for e in found] == ["None", told, "None"]
    assert [found[i].parts for i in (0, 2)] == [whole[i].parts for i in (0, 2)]
    assert how != "raises" or "in _fail" in str(found[1].traceback)


def test_it_is_told_when_there_is_no_more_room() -> None:
    [episode] = play(isolated_environments.cling, "ok", max_turns=3)
    assert (episode.reward, episode.stop, len(episode.sequences)) == (0.25, "turns", 3)


@pytest.mark.parametrize("kind", ["number", "parts", "verdict"])
def test_a_reward_is_whatever_one_that_is_not_isolated_may_return(kind: str) -> None:
    isolated = isolated_environments.rewarding.with_parameters({"kind": kind})
    open_one = attrs.evolve(isolated, isolate=False)
    [one], [other] = play(isolated, "ok"), play(open_one, "ok")
    assert (one.error, one.reward, one.parts) == (None, other.reward, other.parts)
    assert (one.faults, one.calls) == (other.faults, other.calls)


def test_a_reward_that_is_no_json_is_told() -> None:
    [episode] = play(isolated_environments.odd, "ok")
    assert str(episode.error).startswith("TypeError: the reward must be JSON values (got a set)")


@pytest.mark.parametrize("turn", ["yes", "no"])
def test_a_turn_that_is_no_json_is_told(turn: str) -> None:
    [episode] = play(isolated_environments.unplain.with_parameters({"turn": turn}), "ok")
    told = "TypeError: what is yielded must be JSON values: Object of type set is not"
    assert str(episode.error).startswith(told)


def test_what_cannot_be_imported_is_refused() -> None:
    @customize.environment(isolate=True)
    def local(row: Any, rng: random.Random) -> Any:
        yield "Go."
        return 1.0

    with pytest.raises(OptionError, match="define it in a module that can be imported"):
        play(local, "ok")
