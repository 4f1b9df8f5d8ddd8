"""Search as a tool: what an index finds is read, and never learnt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playing import play
from toy_rewards import session

import customize
from customize._functions import describe_function
from customize_grpo.method import GRPO

RECORDS: list[dict[str, Any]] = [
    {"id": "hall", "title": "Climbing Hall", "text": "The doors open at 7:40 am."},
    {"id": "shop", "title": "Clock Shop", "text": "A new strap costs $23.80."},
    {"id": "code", "text": "The alarm of the hall is 4711.", "tags": ["staff"]},
]


def right(completion: str) -> float:
    return float("7:40" in completion)


def index(records: list[dict[str, Any]] = RECORDS) -> customize.Index:
    return customize.index_of(customize.read(records, kind="documents"))


def searching(query: str) -> str:
    called = {"name": "search", "arguments": {"query": query}}
    return f"<tool_call>{json.dumps(called)}</tool_call>"


def test_what_is_retrieved_has_weight_0_and_what_is_said_has_not() -> None:
    method = GRPO(reward=right, tools=(customize.search_in(index()),))
    said = iter([searching("When do the doors open?")] * 2 + ["At 7:40 am.", "At noon."])
    episodes = play(method.played(), lambda text: next(said), size=2, max_tokens=200)
    shown = "[1] Climbing Hall: The doors open at 7:40 am."
    assert [episode.messages[2]["content"] for episode in episodes] == [shown] * 2
    batch, _ = method._batch(session(), episodes)
    for start, end, spoken in zip(
        batch.offsets[:-1], batch.offsets[1:], ["At 7:40 am.", "At noon."], strict=True
    ):
        text = bytes(max(t, 5) if t < 256 else 5 for t in batch.tokens[start:end].tolist())
        weights = batch.weights[start:end]
        place = text.index(shown.encode())
        assert not weights[place : place + len(shown)].any()
        assert weights[text.index(b"<tool_call>")] != 0
        last = text.rindex(spoken.encode())
        assert np.all(weights[last : last + len(spoken)] != 0)


def test_only_what_the_asker_may_see_is_found() -> None:
    for tags, found in (((), "Nothing in the documents fits 'alarm'."), (("staff",), "[1] The")):
        assert customize.search_in(index(), filter=tags)("alarm").startswith(found)


def test_a_folder_is_searched_and_another_index_is_another_tool(tmp_path: Path) -> None:
    customize.build_index(RECORDS, tmp_path / "index")
    of_folder = customize.search_in(tmp_path / "index", k=1)
    assert of_folder("doors strap").count("\n") == 0
    told = describe_function(of_folder)
    assert told == describe_function(customize.search_in(tmp_path / "index", k=1))
    assert told != describe_function(customize.search_in(tmp_path / "index", k=2))
    assert told != describe_function(customize.search_in(tmp_path / "index", k=1, filter=["a"]))
    assert told != describe_function(customize.search_in(index(RECORDS[:2]), k=1))


def test_a_folder_without_an_index_is_told(tmp_path: Path) -> None:
    with pytest.raises(customize.DataError, match="holds no index"):
        customize.search_in(tmp_path)


def test_two_indexes_are_searched_under_names_of_their_own() -> None:
    both = index(), index(RECORDS[1:])
    with pytest.raises(customize.OptionError, match="search_in takes name="):
        customize.judged(right, [customize.search_in(one) for one in both])
    first, second = (
        customize.search_in(one, name=name)
        for one, name in zip(both, ("find_hours", "find_prices"), strict=True)
    )
    called = {"name": "find_prices", "arguments": {"query": "strap"}}
    said = iter([f"<tool_call>{json.dumps(called)}</tool_call>", "At 7:40 am."])
    [episode] = play(
        customize.judged(right, [first, second]), lambda text: next(said), max_tokens=200
    )
    assert "$23.80" in episode.messages[2]["content"]
    assert list(episode.calls) == ["find_prices"]
    assert describe_function(first) != describe_function(customize.search_in(both[0]))
    with pytest.raises(customize.OptionError, match="letters, digits and _"):
        customize.search_in(both[0], name="find prices")
