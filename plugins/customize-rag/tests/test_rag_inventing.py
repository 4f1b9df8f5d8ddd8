"""Questions that a model makes, rewords or answers: kept only where search and it agree."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rag_corpus import OTHER_SCRIPTS, index

from customize import Chunk, DataError, Message, index_of, read
from customize_rag.inventing import Questioner
from customize_rag.question_file import questions_of, write

INDEX = index()
CHUNK = next(chunk for chunk in INDEX.chunks() if "10:20 am" in chunk.text)
OPENS = "Question: When does the Clock Shop open?\nAnswer: 10:20 am"


def saying(first: str, again: str) -> Any:
    """A model that says the first thing when asked to invent, and the other when asked."""

    def ask(messages: Sequence[Message]) -> str:
        return first if "Write one question" in messages[-1]["content"] else again

    return ask


def reason(first: str, again: str = "It opens at 10:20 am.", chunk: Chunk = CHUNK) -> str | None:
    return Questioner(saying(first, again), INDEX, 2).invented(chunk).reason


def test_a_question_that_finds_its_passage_and_its_answer_again_is_kept() -> None:
    kept = Questioner(saying(OPENS, "At 10:20 am."), INDEX, 2).invented(CHUNK)
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
    questioner = Questioner(ask, INDEX, 2)
    first = list(write(questioner.inventing(), to, most=2))
    with (tmp_path / "questions.left-out.jsonl").open("a") as stream:
        stream.write('{"cut off by a ki')
    rest = list(write(questioner.inventing(), to))
    assert (len(first), len(first) + len(rest)) == (2, len(INDEX))
    passages = [text for text in asked if "Write one question" in text]
    assert len(set(passages)) == len(passages) == len(INDEX)
    assert list(write(questioner.inventing(), to)) == []
    [kept] = questions_of(str(to))  # a file that the method reads as it is
    assert (kept["document"], kept["answer"]) == ("shop", "10:20 am")
    left_out = (tmp_path / "questions.left-out.jsonl").read_text().splitlines()
    assert all(json.loads(line)["reason"] for line in left_out)
    assert len(left_out) == len(INDEX) - 1


class Scripted:
    """Says the next of its lines when it is to write, and the same answer whenever it is asked."""

    def __init__(self, *lines: str, answer: str = "At 10:20 am.") -> None:
        self.wanted: list[str] = []
        self._lines = [*lines]
        self._answer = answer

    def __call__(self, messages: Sequence[Message]) -> str:
        asked = str(messages[-1]["content"])
        if not any(form in asked for form in ("Question: ...", "Quote: ...")):
            return self._answer
        self.wanted.append(asked)
        return self._lines[(len(self.wanted) - 1) % len(self._lines)]


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


OPENING = {"question": "When does the Clock Shop open?", "answer": "10:20 am", "document": "shop"}
REWORDED = "Question: From what hour are the doors of the Clock Shop open?"


def test_of_each_passage_more_is_asked_and_nothing_twice(tmp_path: Path) -> None:
    other = OPENS.replace("When does the Clock Shop open", "At what time does the Clock Shop open")
    ask = Scripted(OPENS, OPENS.replace("When does", "when, does"), other)
    made = list(write(Questioner(ask, INDEX, 2).inventing(), tmp_path / "questions.jsonl", each=3))
    assert len(made) == 3 * len(INDEX)
    of_shop = [one for one in made if one.document == "shop" and one.reason is None]
    assert [one.question for one in of_shop] == [
        "When does the Clock Shop open?",
        "At what time does the Clock Shop open?",
    ]
    assert sum(one.reason == "it is worded as another is" for one in made) == 1
    assert ask.wanted[1].endswith("Ask otherwise than: When does the Clock Shop open?")


def test_a_run_that_was_stopped_within_a_passage_asks_what_it_would_have(tmp_path: Path) -> None:
    def wanted(stops: list[int]) -> tuple[list[str], list[dict[str, Any]]]:
        (folder := tmp_path / str(len(stops))).mkdir()
        ask = Scripted("no form", OPENS, OPENS.replace("When does", "At what time does"), "none")
        for each in stops:
            tasks = Questioner(ask, INDEX, 2).inventing()
            list(write(tasks, folder / "questions.jsonl", each=each, most=1))
        return ask.wanted, lines_of(folder / "questions.left-out.jsonl")

    assert wanted([4]) == wanted([1, 2, 3, 4])


def test_a_wording_is_kept_where_it_finds_the_passage_of_the_question(tmp_path: Path) -> None:
    ask = Scripted(REWORDED, "Question: when does the clock shop open")
    to = tmp_path / "reworded.jsonl"
    made = list(write(Questioner(ask, INDEX, 2).rewording([OPENING]), to, each=2))
    assert [one.reason for one in made] == [None, "it is worded as another is"]
    [kept] = questions_of(str(to))
    assert kept == {**OPENING, "question": REWORDED.partition(": ")[2], "wording_of": OPENING}
    assert "When does the Clock Shop open?" in ask.wanted[0]
    assert list(write(Questioner(ask, INDEX, 2).rewording([OPENING]), to, each=2)) == []


@pytest.mark.parametrize(
    ("said", "answer", "told"),
    [
        ("When does it open?", "10:20 am", "not in the form"),
        ("Question: Is the Clock Shop open at 10:20 am?", "10:20 am", "tells its answer"),
        ("Question: When does the Camp Site gate open?", "10:20 am", "not find the passage"),
        (REWORDED, "At noon.", "answers otherwise"),
    ],
)
def test_other_wordings_are_left_out_with_the_reason(
    tmp_path: Path, said: str, answer: str, told: str
) -> None:
    tasks = Questioner(Scripted(said, answer=answer), INDEX, 2).rewording([OPENING])
    [made] = write(tasks, tmp_path / "reworded.jsonl")
    assert told in str(made.reason)


def test_what_no_document_answers_is_not_worded_again(tmp_path: Path) -> None:
    ask = Scripted(REWORDED)
    lost = {**OPENING, "answer": "noon"}
    [made] = write(Questioner(ask, INDEX, 2).rewording([lost]), tmp_path / "reworded.jsonl")
    assert (made.reason, ask.wanted) == ("shop does not say 'noon' in these words", [])


def test_wordings_are_added_to_the_file_itself_and_not_worded_again(tmp_path: Path) -> None:
    to = tmp_path / "questions.jsonl"
    to.write_text(json.dumps(OPENING), "utf-8")  # without an end of the last line
    for _ in range(2):
        tasks = Questioner(Scripted(REWORDED), INDEX, 2).rewording(list(questions_of(str(to))))
        list(write(tasks, to))
    assert [line["question"] for line in lines_of(to)] == [
        OPENING["question"],
        REWORDED.partition(": ")[2],
    ]


QUOTED = 'Quote: "The doors open at 10:20 am."\nAnswer: 10:20 am'


def test_a_question_of_a_log_gets_the_answer_that_is_quoted_word_for_word(tmp_path: Path) -> None:
    log = [{"question": OPENING["question"]}, {"question": "Who?", "answer": "Agnes Corbin"}]
    to = tmp_path / "answered.jsonl"
    ask = Scripted(QUOTED)
    log[1]["answer"] = "Agnes\u2028Corbin"  # ends no line of a file
    made = list(write(Questioner(ask, INDEX, 2).answering(log), to))
    assert [one.reason for one in made] == [None, None]
    first, second = questions_of(str(to))
    assert {name: first[name] for name in OPENING} == OPENING
    assert (second["answer"], len(ask.wanted)) == ("Agnes\u2028Corbin", 1)  # who knows it said so
    assert list(write(Questioner(ask, INDEX, 2).answering(log), to)) == []


def test_an_answer_is_kept_without_the_stop_of_its_script(tmp_path: Path) -> None:
    text = OTHER_SCRIPTS["Chinese"][0]["shop"]
    documents = index_of(read([{"id": "shop", "text": text}]))
    ask = Scripted("Quote: 我们在北京的长安街\nAnswer: 北京。")
    tasks = Questioner(ask, documents, 1).answering([{"question": "钟表店在哪个城市？"}])
    [made] = write(tasks, tmp_path / "answered.jsonl")
    assert (made.answer, made.reason) == ("北京", None)


@pytest.mark.parametrize(
    ("question", "said", "told"),
    [
        ("When does the Clock Shop open?", "None", "finds no answer"),
        ("When does the Clock Shop open?", QUOTED.replace("doors", "gates"), "in no passage"),
        ("When does the Clock Shop open?", QUOTED + "ish, or so", "not in what is quoted"),
        ("When does the Camp Site open?", QUOTED, "in no passage"),
        ("zeppelin?", QUOTED, "finds no passage"),
    ],
)
def test_an_answer_that_no_passage_tells_is_left_out_with_the_reason(
    tmp_path: Path, question: str, said: str, told: str
) -> None:
    to = tmp_path / "answered.jsonl"
    [made] = write(Questioner(Scripted(said), INDEX, 1).answering([{"question": question}]), to)
    assert told in str(made.reason)
    assert not to.exists()


def test_a_file_of_something_else_is_not_added_to(tmp_path: Path) -> None:
    (to := tmp_path / "notes.txt").write_text("Buy milk.\nAsk again.\n", "utf-8")
    with pytest.raises(DataError, match="line 1 is not JSON: name a file of questions"):
        list(write(Questioner(Scripted(OPENS), INDEX, 2).inventing(), to))
    assert to.read_text("utf-8") == "Buy milk.\nAsk again.\n"
