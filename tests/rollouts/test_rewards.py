"""Rewards: what they are given, how parts are summed, and what is refused before it begins."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playing import ROW, play

import customize
from customize import OptionError, judged, overlong
from customize._functions import describe_function
from customize.rollouts.checking import check_reward
from customize.rollouts.rewards import Reward


def correct(completion: str, answer: str) -> bool:
    return completion.strip().endswith(answer)


def brief(num_tokens: int) -> float:
    return 1.0 / num_tokens


def seen(completion: str, messages: Any, row: Any, truncated: bool) -> dict[str, float]:
    return {"turns": len(messages), "cut": truncated, "columns": len(row)}


def test_parts_are_kept_apart_and_summed_by_weight() -> None:
    reward = {correct: 1.0, brief: 0.5, seen: 0.0}
    [episode] = play(judged(reward), "it is 42")
    assert episode.parts == {
        "correct": 1.0,
        "brief": 1 / 9,
        "seen.turns": 2.0,
        "seen.cut": 0.0,
        "seen.columns": 2.0,
    }
    assert episode.reward == pytest.approx(1 + 0.5 / 9)


def test_several_functions_weigh_one_each() -> None:
    [episode] = play(judged([correct, brief]), "42")
    assert episode.reward == pytest.approx(1 + 1 / 3)


def test_a_reply_that_is_cut_is_told_to_who_asks() -> None:
    [episode] = play(judged(seen), "it is 42", max_tokens=3)
    assert episode.parts["seen.cut"] == 1.0


def test_numpy_numbers_are_numbers() -> None:
    [episode] = play(judged(lambda completion: np.float32(0.5)), "42")
    assert episode.reward == 0.5


def test_a_column_that_is_not_there_is_refused_before_the_first_token() -> None:
    rows = [{**ROW}, {"messages": ROW["messages"], "reply": "42"}]
    with pytest.raises(OptionError, match=r"correct asks for answer, which row 2 has not: its"):
        check_reward(Reward.of(correct), rows)


def test_a_reward_that_does_not_want_the_rows_own_answer_most_is_refused() -> None:
    def inverted(completion: str, answer: str) -> float:
        return float(completion != answer)

    rows = [ROW, {**ROW, "answer": "7"}]
    told = "row 1's own answer is rewarded 0, and less than the empty answer, 1"
    with pytest.raises(OptionError, match=told):
        check_reward(Reward.of(inverted), rows)
    check_reward(Reward.of(correct), rows)
    check_reward(Reward.of({inverted: 0.0, correct: 1.0}), rows)  # only watched


def test_a_reward_that_looks_the_answer_up_in_the_row_is_held_to_it_too() -> None:
    def inverted(completion: str, row: Any) -> float:
        return float(completion != row["answer"])

    def by_get(completion: str, row: Any) -> float:
        return float(completion != row.get("answer"))

    def longer(completion: str, row: Any) -> float:  # of the row, and not of its answer
        return float(len(completion) > len(row["messages"]))

    rows = [ROW, {**ROW, "answer": "7"}]
    for wrong in (inverted, by_get):
        with pytest.raises(OptionError, match="own answer is rewarded 0, and less than"):
            check_reward(Reward.of(wrong), rows)
    assert check_reward(Reward.of(longer), [*rows, {**ROW, "answer": "a longer answer"}]) is None


ANSWERS = [{**ROW, "answer": text} for text in ("42", "7", "no", "")]


@pytest.mark.parametrize(
    ("reward", "told"),
    [
        (lambda completion, answer: 1.0, "whatever was tried is rewarded alike, the rows' own"),
        (lambda completion, answer: answer in completion.upper(), "1 of 3 rows' own answers are"),
        (lambda completion, answer: bool(completion), "every row's own answer is rewarded as ano"),
        (lambda completion, answer: completion == answer, None),
        (lambda completion: 1.0, None),  # it looks at no answer
    ],
)
def test_what_rewards_the_rows_own_answer_as_it_does_others_is_told(
    reward: Any, told: str | None
) -> None:
    found = check_reward(Reward.of(reward), ANSWERS)
    assert found is None if told is None else told in str(found)


def test_of_rows_that_all_have_one_answer_no_other_is_asked_about() -> None:
    assert check_reward(Reward.of(correct), [ROW, ROW]) is None


def test_a_tie_is_told_before_the_first_token_and_refuses_nothing() -> None:
    def boxed(completion: str, answer: str) -> float:
        return float(completion == f"\\boxed{{{answer}}}")

    environment = judged(boxed)
    assert environment.check is not None
    with pytest.warns(UserWarning, match="boxed: whatever was tried is rewarded alike"):
        environment.check([ROW, {**ROW, "answer": "7"}])


def test_a_reward_that_fails_on_the_rows_own_answer_is_refused() -> None:
    def broken(completion: str, answer: str) -> float:
        return float(int(answer) == int(completion.split("=")[1]))

    with pytest.raises(OptionError, match="broken raises IndexError on row 1's own answer"):
        check_reward(Reward.of(broken), [ROW])


def test_a_reward_has_its_own_time_where_it_is_held_against_rows() -> None:
    def slow(completion: str, answer: str) -> float:
        time.sleep(1.0)
        return 1.0

    check = judged(slow, seconds=0.1).check
    assert check is not None
    with pytest.raises(OptionError, match="slow raises TimeoutError on row 1's own answer"):
        check([ROW])


@pytest.mark.parametrize("named", ["found_beside:correct", "found_beside.py:correct"])
def test_a_file_in_the_working_directory_is_told_how_to_be_found(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "found_beside.py").write_text("def correct(completion): return 1.0\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match="cannot be imported") as told:
        Reward.of(named)
    assert "found_beside.py is in the working directory" in str(told.value)
    assert "PYTHONPATH=." in str(told.value)
    assert ("write found_beside:correct" in str(told.value)) == (".py" in named)

    monkeypatch.syspath_prepend(tmp_path)
    if ".py" in named:
        with pytest.raises(OptionError, match=r"write found_beside:correct$"):
            Reward.of(named)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "reward is empty"),
        ([correct, correct], "two parts of the reward have one name"),
        ({correct: "much"}, "the weight of correct must be a number"),
        ("customize:no_such_reward", "cannot be imported"),
        (lambda *completions: 1.0, "must name what it needs"),
        (customize.group(lambda completions: [1.0]), r"must take \(completions, rows\)"),
    ],
)
def test_what_is_no_reward_is_refused(given: Any, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        judged(given)


def test_an_import_string_names_a_reward() -> None:
    [episode] = play(judged({"test_rewards:correct": 2.0}), "42")
    assert (episode.reward, episode.parts) == (2.0, {"correct": 1.0})


@pytest.mark.parametrize(
    ("length", "penalty"), [(10, 0.0), (80, 0.0), (90, -0.5), (100, -1.0), (120, -1.0)]
)
def test_overlong_falls_over_the_buffer(length: int, penalty: float) -> None:
    """By hand, with a limit of 100 and a buffer of 20: (limit - buffer - length) / buffer."""
    assert overlong(100, 20)(num_tokens=length) == pytest.approx(penalty)


def test_overlong_is_a_part_like_any_other() -> None:
    [episode] = play(judged({correct: 1.0, overlong(8, 4): 1.0}), "it is 42")
    assert episode.parts["overlong"] == -1.0
    with pytest.raises(OptionError, match="0 < buffer <= limit"):
        overlong(8, 9)


def test_environments_are_found_by_name_with_options(install: Any) -> None:
    install(
        "acme-worlds",
        """
import customize

@customize.hookimpl
def customize_environments():
    yield customize.EnvironmentSpec(
        name="sums", target="acme_worlds:sums", summary="Sums."
    )

def sums(row, rng, level: int = 1):
    yield f"level {level}"
    return 1.0
""",
    )
    for given, level in (("sums", 1), ("sums:level=3", 3), ("acme_worlds:sums", 1)):
        [episode] = play(customize.find_environment(given), "ok")
        assert episode.messages[0]["content"] == f"level {level}"
    with pytest.raises(customize.UnknownName):
        customize.find_environment("smus")
    with pytest.raises(OptionError, match="name=value"):
        customize.find_environment("sums:level=3,x")


def test_another_reward_is_another_environment_to_a_run_that_goes_on() -> None:
    def within(limit: int) -> Any:
        return lambda num_tokens: float(num_tokens < limit)

    def look(place: str) -> str:
        """Look there."""
        return place

    given: list[Any] = [
        (correct,),
        (correct,),
        (brief,),
        ({correct: 2.0},),
        (correct, [look]),
        ([correct, within(3)],),
        ([correct, within(4)],),
        (customize.group(lambda completions, rows: [0.0]),),
    ]
    told = [describe_function(judged(*each)) for each in given]
    assert told[0] == told[1]
    assert len(set(told)) == len(told) - 1
