"""Questions that a model makes: kept only where search and the model itself agree."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rag_corpus import index

from customize import Chunk, Message
from customize_rag.inventing import invented, write_invented
from customize_rag.making import questions_of

INDEX = index()
CHUNK = next(chunk for chunk in INDEX.chunks() if "10:20 am" in chunk.text)
OPENS = "Question: When does the Clock Shop open?\nAnswer: 10:20 am"


def saying(first: str, again: str) -> Any:
    """A model that says the first thing when asked to invent, and the other when asked."""

    def ask(messages: Sequence[Message]) -> str:
        return first if "Write one question" in messages[-1]["content"] else again

    return ask


def reason(first: str, again: str = "It opens at 10:20 am.", chunk: Chunk = CHUNK) -> str | None:
    return invented(chunk, saying(first, again), INDEX, 2).reason


def test_a_question_that_finds_its_passage_and_its_answer_again_is_kept() -> None:
    kept = invented(CHUNK, saying(OPENS, "At 10:20 am."), INDEX, 2)
    assert (kept.question, kept.answer) == ("When does the Clock Shop open?", "10:20 am")
    assert kept.reason is None


@pytest.mark.parametrize(
    ("first", "again", "told"),
    [
        ("What a lovely passage!", "", "not in the form"),
        (OPENS.replace("10:20", "10:25"), "", "not in the passage"),
        (OPENS, "At 9 am.", "answers otherwise"),
        ("Question: Is it 10:20 am at the Clock Shop?\nAnswer: 10:20 am", "", "tells its answer"),
        ("Question: When does the Camp Site gate open?\nAnswer: 10:20 am", "", "find the passage"),
    ],
)
def test_other_questions_are_left_out_with_the_reason(first: str, again: str, told: str) -> None:
    assert told in str(reason(first, again))


def test_a_run_that_was_stopped_goes_on_with_the_next_passage(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(messages: Sequence[Message]) -> str:
        asked.append(messages[-1]["content"])
        return OPENS

    to = tmp_path / "questions.jsonl"
    first = list(write_invented(INDEX, ask, to, k=2, most=2))
    with (tmp_path / "questions.left-out.jsonl").open("a") as stream:
        stream.write('{"cut off by a ki')
    rest = list(write_invented(INDEX, ask, to, k=2))
    assert (len(first), len(first) + len(rest)) == (2, len(INDEX))
    passages = [text for text in asked if "Write one question" in text]
    assert len(set(passages)) == len(passages) == len(INDEX)
    assert list(write_invented(INDEX, ask, to, k=2)) == []
    [kept] = questions_of(str(to))  # a file that the method reads as it is
    assert (kept["document"], kept["answer"]) == ("shop", "10:20 am")
    left_out = (tmp_path / "questions.left-out.jsonl").read_text().splitlines()
    assert all(json.loads(line)["reason"] for line in left_out)
    assert len(left_out) == len(INDEX) - 1
