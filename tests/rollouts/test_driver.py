"""The driver: turns, tokens and ends, with a model that says what it is told to."""

from __future__ import annotations

import json
import random
import sys
from typing import Any

import numpy as np
import pytest
from playing import Speaker, asks, play

import customize
from customize import (
    Completion,
    Done,
    Driver,
    Episode,
    OptionError,
    OutOfRoom,
    Sampling,
    Snapshot,
    Turn,
    judged,
)
from customize.interfaces.environment import Environment
from customize.testing import ToyBackend, ToyRenderer


@customize.environment
def guessing(row: Any, rng: random.Random) -> Any:
    reply = yield "Guess."
    for _ in range(3):
        if reply.text == "7":
            return {"won": 1.0, "fast": 0.5}
        reply = yield f"not {reply.text}"
    return {"won": 0.0, "fast": 0.0}


def test_what_is_yielded_is_seen_and_what_is_returned_is_the_reward() -> None:
    said = iter(["5", "6", "7"])
    [episode] = play(guessing, lambda text: next(said))
    assert (episode.reward, episode.parts) == (1.5, {"won": 1.0, "fast": 0.5})
    assert [(m["role"], m["content"]) for m in episode.messages] == [
        ("user", "Guess."),
        ("assistant", "5"),
        ("user", "not 5"),
        ("assistant", "6"),
        ("user", "not 6"),
        ("assistant", "7"),
    ]
    assert (episode.turns, episode.stop, episode.completion) == (3, "done", "7")
    assert episode.faults == {}


def test_weights_are_on_sampled_tokens_alone_and_their_logprobs_are_the_samplers() -> None:
    said = iter(["5", "77", "7"])
    [episode] = play(guessing, lambda text: next(said))
    [spoken] = episode.sequences
    told = spoken.tokens[spoken.sampled].tolist()
    assert bytes(told) == b"5\x0077\x007\x00"
    assert spoken.logprobs[spoken.sampled].tolist() == [-1, -2, -1, -2, -3, -1, -2]
    assert not spoken.logprobs[~spoken.sampled].any()
    assert spoken.sampled[-1]  # nothing is kept after the last thing the model said


def test_the_samplers_own_logprobs_are_kept_where_they_are_asked_for() -> None:
    [episode] = play(guessing, "7", behaviour="sampler")
    [spoken] = episode.sequences
    assert spoken.logprobs[spoken.sampled].tolist() == [-2, -4]
    assert spoken.policy_logprobs[spoken.sampled].tolist() == [-1, -2]
    [again] = Episode.from_json(json.loads(json.dumps(episode.to_json()))).sequences
    assert again.policy_logprobs.tolist() == spoken.policy_logprobs.tolist()
    assert again.logprobs.tolist() == spoken.logprobs.tolist()


def test_every_prompt_begins_with_all_that_came_before() -> None:
    speaker = Speaker("5")
    Driver(guessing, Sampling(max_tokens=8)).play(speaker, asks())
    for before, after in zip(speaker.prompts, speaker.prompts[1:], strict=False):
        assert after[: len(before)] == before
        assert len(after) > len(before)


def test_a_restart_begins_another_sequence_of_the_same_episode() -> None:
    @customize.environment
    def twice(row: Any, rng: random.Random) -> Any:
        yield "one"
        yield Turn("two", restart=True)
        return 1.0

    [episode] = play(twice, "yes")
    assert [s.tokens.tolist()[1:4] for s in episode.sequences] == [[*b"one"], [*b"two"]]
    assert episode.num_sampled == 2 * len(b"yes\x00")


def test_a_reply_that_is_cut_is_said_to_be() -> None:
    seen = []

    @customize.environment
    def watching(row: Any, rng: random.Random) -> Any:
        reply = yield "Talk."
        seen.append(reply)
        return 1.0

    [episode] = play(watching, "a long story", max_tokens=4)
    assert (seen[0].text, seen[0].stopped, seen[0].num_tokens) == ("a lo", "length", 4)
    assert episode.truncated
    assert (episode.stop, episode.faults) == ("length", {"tokens": 1})


@pytest.mark.parametrize(
    ("settings", "stop"), [({"max_turns": 2}, "turns"), ({"max_length": 40}, "tokens")]
)
def test_without_room_an_episode_ends_with_what_it_catches(
    settings: dict[str, int], stop: str
) -> None:
    @customize.environment
    def endless(row: Any, rng: random.Random) -> Any:
        turns = 0
        try:
            while True:
                yield "Go on."
                turns += 1
        except OutOfRoom:
            return {"turns": turns}

    [episode] = play(endless, "ok", max_tokens=8, **settings)
    assert (episode.stop, episode.truncated, episode.reward) == (stop, True, 2.0)
    assert (episode.faults, episode.failed) == ({stop: 1}, False)


def test_without_room_the_reward_is_nothing_where_that_is_not_caught() -> None:
    [episode] = play(guessing, "5", max_turns=1)
    assert (episode.reward, episode.stop, episode.error) == (0.0, "turns", None)
    assert episode.faults == {"turns": 1}


def test_where_the_environment_failed_turns_and_tokens_are_no_faults_of_the_models() -> None:
    @customize.environment
    def broken(row: Any, rng: random.Random) -> Any:
        yield "Talk."
        raise OSError("gone")

    [episode] = play(broken, "a long story", max_tokens=4, max_turns=1)
    assert (episode.failed, episode.faults) == (True, {})


def test_a_reply_that_was_cut_is_no_fault_where_the_episode_went_on_to_its_end() -> None:
    @customize.environment
    def patient(row: Any, rng: random.Random) -> Any:
        yield "Talk."
        yield "Shorter."
        return 1.0

    said = iter(["a long story", "so"])
    [episode] = play(patient, lambda text: next(said), max_tokens=4)
    assert (episode.stop, episode.faults) == ("done", {})


def test_a_long_observation_is_cut_before_it_is_tokens_and_the_cut_is_marked() -> None:
    @customize.environment
    def flooding(row: Any, rng: random.Random) -> Any:
        yield "a" * 10**6
        return 1.0

    [episode] = play(flooding, "ok", observation_tokens=10)
    assert episode.messages[0]["content"] == f"{'a' * 20}[… 999960 characters left out …]{'a' * 20}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("漢" * 1000, f"{'漢' * 5}[… 990 characters left out …]{'漢' * 5}"),
        ("漢" * 10, "漢" * 10),
        ("漢" * 11, f"{'漢' * 5}[… 1 characters left out …]{'漢' * 5}"),
        ("한ab" * 100, "한ab한ab한ab[… 280 characters left out …]ab한ab한ab한ab"),
        ("a" * 30 + "ไ" * 30, f"{'a' * 20}[… 35 characters left out …]{'ไ' * 5}"),
        ("a" * 40, "a" * 40),
    ],
)
def test_a_character_of_a_script_without_spaces_is_a_token(text: str, shown: str) -> None:
    """By hand, of ten tokens: five at each end, of which four letters are one."""

    @customize.environment
    def flooding(row: Any, rng: random.Random) -> Any:
        yield text
        return 1.0

    [episode] = play(flooding, "ok", observation_tokens=10)
    assert episode.messages[0]["content"] == shown


def test_the_rows_own_messages_are_never_cut() -> None:
    row = {"messages": [{"role": "user", "content": "x" * 500}]}
    [episode] = play(judged(lambda completion: 1.0), "ok", row=row, observation_tokens=10)
    assert episode.messages[0]["content"] == "x" * 500


def test_seeds_are_a_functions_of_the_episode_so_order_and_number_change_nothing() -> None:
    session = ToyBackend().load(None).open(customize.LoRA(), 3)
    driver = Driver(guessing, Sampling(max_tokens=6))
    every = asks(2, 3)
    together = driver.play(session, every)
    alone = [driver.play(session, [ask])[0] for ask in reversed(every)][::-1]
    assert [_tokens(e) for e in together] == [_tokens(e) for e in alone]
    assert len({str(_tokens(e)) for e in together}) == len(together)


def test_an_episode_is_the_same_after_json() -> None:
    session = ToyBackend().load(None).open(customize.LoRA(), 3)
    for episode in Driver(guessing, Sampling(max_tokens=6)).play(session, asks(2, 2)):
        told = json.dumps(episode.to_json())
        again = Episode.from_json(json.loads(told))
        assert json.dumps(again.to_json()) == told
        for one, other in zip(episode.sequences, again.sequences, strict=True):
            assert np.array_equal(one.logprobs, other.logprobs)
            assert one.logprobs.dtype == other.logprobs.dtype


def test_what_is_no_generator_is_refused() -> None:
    with pytest.raises(OptionError, match="must be a generator"):
        customize.environment(lambda row, rng: 1.0)  # type: ignore[type-var]


def test_what_takes_other_things_is_refused() -> None:
    def needy(row: Any, rng: random.Random, level: int) -> Any:
        yield "?"

    with pytest.raises(OptionError, match="give level a default"):
        customize.environment(needy)


def test_options_come_from_text_by_the_type_of_their_default() -> None:
    def levels(row: Any, rng: random.Random, level: int = 1, kind: str = "easy") -> Any:
        yield f"{kind} {level}"
        return 1.0

    made = Environment(levels, "levels")
    [episode] = play(made.with_parameters({"level": "3"}), "ok")
    assert episode.messages[0]["content"] == "easy 3"
    with pytest.raises(OptionError, match=r"levels:level must be like its default, 1 \(got 'x'\)"):
        made.with_parameters({"level": "x"})
    with pytest.raises(OptionError, match="no option 'lvel': there are level, kind"):
        made.with_parameters({"lvel": "3"})


class Instant(Snapshot):
    """Says the same at once, so that what is measured is the driver."""

    class Renderer(ToyRenderer):
        def prompt(self, *given: Any) -> Any:
            return np.array([1, 2, 3], np.int32)

        def extend(self, tokens: Any, *given: Any) -> Any:
            return np.append(tokens, np.int32(4))

        def decode(self, tokens: Any) -> str:
            return "ok"

    def __init__(self) -> None:
        self.renderer = self.Renderer()
        said = np.array([7, 0], np.int32), np.zeros(2, np.float32), np.zeros(2, np.float32)
        self._said = Completion(*said, "stop")

    def forward(self, batch: Any) -> Any:
        raise NotImplementedError

    def sample(self, prompts: Any, sampling: Any, on_token: Any = None) -> Any:
        return Done([[self._said] for _ in prompts])


def test_a_turn_costs_some_seventy_calls_its_time_limit_included() -> None:
    """Counted, for seconds tell more of the machine: 30 to 60 microseconds, by what it is."""
    short, long = (_calls(turns) for turns in (8, 16))
    assert long - short <= 100 * 8 * 128


def _calls(turns: int) -> int:
    """How often playing 128 episodes of so many turns called a function, of Python or of C."""

    @customize.environment
    def talk(row: Any, rng: random.Random) -> Any:
        for _ in range(turns):
            yield "Go on."
        return 1.0

    driver, snapshot, every = Driver(talk, Sampling()), Instant(), asks(1, 128)
    driver.play(snapshot, every)  # what is made once
    counted = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        driver.play(snapshot, every)
    finally:
        sys.setprofile(None)
    return counted


def _tokens(episode: Episode) -> list[list[int]]:
    return [s.tokens.tolist() for s in episode.sequences]
