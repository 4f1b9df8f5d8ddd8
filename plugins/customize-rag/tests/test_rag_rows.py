"""The rows that are made of documents: each is true of its own passages, as they are shown."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import attrs
import numpy as np
import pytest
from rag_corpus import PAIRS, index

from customize import Chunk, Grounding, OptionError
from customize_rag.changing import changed, without
from customize_rag.contexts import Rows
from customize_rag.evidence import holds
from customize_rag.extracting import extracted
from customize_rag.pairs import Grounder, LeftOut, Pair, grounded
from customize_rag.plan import RowPlan

NOTHING_ELSE: dict[str, Any] = {"near_miss": 0.0, "off_topic": 0.0, "empty": 0.0, "partial": 0.0}


def made(plan: RowPlan, pairs: list[dict[str, Any]] = PAIRS) -> list[dict[str, Any]]:
    documents = index()
    found, left_out = grounded(pairs, documents, plan.quote_words)
    assert not left_out
    return list(Rows(plan, found, documents))


def asked(row: dict[str, Any]) -> tuple[str, str, str]:
    """Kind, question and answer."""
    _, question, answer = (message["content"] for message in row["messages"])
    return row["kind"], question.rpartition("Question: ")[2], answer


def passages(row: dict[str, Any]) -> list[str]:
    return re.findall(r"^\[\d\] (.*)$", row["messages"][1]["content"], re.MULTILINE)


@pytest.mark.parametrize("per_context", [1, 4])
def test_what_is_answered_is_quoted_word_for_word_from_the_passage_that_is_cited(
    per_context: int,
) -> None:
    rows = made(RowPlan(per_context=per_context, counterfactual=0.5))
    answered = [(row, asked(row)[2]) for row in rows if row["kind"] == "answerable"]
    assert len(answered) >= 4
    for row, said in answered:
        quote, place, answer = re.fullmatch(r'"(.+)" \[(\d)\]\n(.+)', said).groups()  # type: ignore[union-attr]
        assert quote in passages(row)[int(place) - 1]
        assert answer in quote


def test_what_is_denied_is_in_no_passage() -> None:
    answers = {pair["question"]: pair["answer"] for pair in PAIRS}
    plan = RowPlan(per_context=3, near_miss=0.5, off_topic=0.2, empty=0.1)
    denied = Counter[str]()
    for row in made(plan):
        kind, question, said = asked(row)
        if said == plan.abstention:
            assert not any(holds(answers[question], passage) for passage in passages(row))
            denied[kind] += 1
    assert denied["near miss"]
    assert not denied.keys() - {"near miss", "off topic", "empty"}


def test_a_part_that_is_missing_is_named() -> None:
    plan = RowPlan(per_context=2, near_miss=0.0, off_topic=0.0, empty=0.0, partial=0.9, k=1)
    partial = [asked(row) for row in made(plan) if row["kind"] == "partial"]
    assert partial
    for _, question, said in partial:
        missing = said.splitlines()[-1].removeprefix("The documents do not say: ")
        assert question.endswith(missing)


def test_shares_are_kept() -> None:
    pairs = PAIRS * 60
    plan = RowPlan(per_context=1, near_miss=0.2, off_topic=0.1, empty=0.1, partial=0.0, k=2)
    counts = Counter(row["kind"] for row in made(plan, pairs))
    total = sum(counts.values())
    # A near miss whose answer stands in another passage, and a stranger of the same document, are
    # left out: so these may be fewer than asked for, and not by much.
    for kind, share in (("near miss", 0.2), ("off topic", 0.1), ("empty", 0.1)):
        assert share - 0.06 <= counts[kind] / total <= share + 0.04, counts


def test_the_true_passage_is_as_often_in_each_place() -> None:
    plan = RowPlan(per_context=1, k=4, **NOTHING_ELSE)
    places = Counter(re.findall(r"\[(\d)\]\n", asked(row)[2])[0] for row in made(plan, PAIRS * 40))
    share = np.array([places[str(n)] for n in range(1, 5)]) / places.total()
    assert np.abs(share - 0.25).max() < 0.08  # four standard errors of 480 draws


def test_every_question_is_asked_once() -> None:
    plan = RowPlan(per_context=4, **NOTHING_ELSE)
    counts = Counter(asked(row)[1] for row in made(plan))
    assert counts == Counter(pair["question"] for pair in PAIRS)


def test_questions_about_the_same_passages_follow_each_other_and_begin_alike() -> None:
    rows = made(RowPlan(per_context=4, empty=0.2))
    numbers = [row["together"] for row in rows]
    sets = [n for n, before in zip(numbers, [None, *numbers], strict=False) if n != before]
    assert len([n for n in sets if n is not None]) == len({*numbers} - {None})
    assert max(Counter(n for n in numbers if n is not None).values()) > 2
    by_number = {row["together"]: passages(row) for row in rows}
    for row in rows:
        assert passages(row) == (by_number[row["together"]] if row["kind"] != "empty" else [])


def test_an_order_in_a_passage_is_followed_by_no_answer() -> None:
    plain, ordered = (made(RowPlan(per_context=2, empty=0.0, orders=o)) for o in (0.0, 1.0))
    assert len(plain) > 4
    for row, with_order in zip(plain, ordered, strict=True):
        assert len(set(passages(with_order)) - set(passages(row))) == 1
        answers = [re.sub(r"\[\d\]", "", asked(one)[2]) for one in (row, with_order)]
        assert answers[0] == answers[1]


def test_the_same_documents_give_the_same_rows_and_max_rows_the_first_of_them() -> None:
    rows = made(RowPlan(per_context=2))
    assert made(RowPlan(per_context=2)) == rows
    assert made(RowPlan(per_context=2, max_rows=3)) == rows[:3]


def test_a_counterfactual_number_is_in_passage_quote_and_answer() -> None:
    plan = RowPlan(
        per_context=1, near_miss=0.0, off_topic=0.0, empty=0.0, partial=0.0, counterfactual=1.0
    )
    known = {pair["answer"] for pair in PAIRS}
    new = [row for row in made(plan) if asked(row)[2].splitlines()[-1] not in known]
    assert len(new) > len(PAIRS) / 2
    for row in new:
        answer = asked(row)[2].splitlines()[-1]
        assert sum(holds(answer, passage) for passage in passages(row)) >= 1


def test_no_digit_of_a_changed_number_grows() -> None:
    chunk = Chunk("a", "The doors open at 7:40 am.", (0, 26))
    pair = Pair("When?", "7:40 am", chunk, "The doors open at 7:40 am")
    found = {changed(pair, np.random.default_rng(seed)).answer for seed in range(60)}
    assert len(found) > 10
    for answer in found:
        hour, minute = map(int, answer.removesuffix(" am").split(":"))
        assert 1 <= hour <= 7
        assert minute in (10, 20, 30, 40)


def test_a_sentence_is_taken_out_whole() -> None:
    text = "We like guests. The doors open at 7:40 am on weekdays. We close late."
    assert without("open at 7:40 am", text) == "We like guests. We close late."


def test_an_answer_that_no_document_says_is_left_out_with_the_reason() -> None:
    wrong = {"question": "When does the Clock Shop open?", "answer": "7:40 am", "document": "shop"}
    assert Grounder(index(), 12).ground(wrong) == LeftOut(wrong["question"], "shop says '7:40 am'")
    lost = {**wrong, "document": "pool"}
    assert Grounder(index(), 12).ground(lost) == LeftOut(
        wrong["question"], "there is no document 'pool'"
    )


def test_a_question_without_a_document_finds_its_own() -> None:
    for pair in PAIRS:
        asked = {key: pair[key] for key in ("question", "answer")}
        found = Grounder(index(), 12).ground(asked)
        assert isinstance(found, Pair)
        assert found.chunk.document == pair["document"]


def test_questions_are_made_of_sentences_that_tell_something() -> None:
    text = "The doors open at 7:40 am. We like guests here. The owner is Agnes Corbin. It is fine."
    chunk = Chunk("a", text, (0, len(text)), ("Hall",))
    rows = list(extracted([chunk]))
    assert [row["answer"] for row in rows] == ["7:40 am", "Agnes Corbin"]
    for row in rows:
        assert row["answer"] not in row["question"]
        assert row["question"].endswith("?")
        assert row["document"] == "a"


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(OptionError, match="leave no share"):
        RowPlan(near_miss=0.5, off_topic=0.3, empty=0.2)


def test_passages_are_at_most_k() -> None:
    rows = made(RowPlan(per_context=1, k=2, empty=0.0))
    assert {len(passages(row)) for row in rows} == {2}
    everything = attrs.evolve(RowPlan(per_context=1, empty=0.0), k=50)  # type: ignore[misc]
    assert {len(passages(row)) for row in made(everything)} <= set(range(1, 9))


def test_every_option_of_how_passages_are_shown_is_kept() -> None:
    given: dict[str, Any] = {"k": 7, "instruction": "Quote it.", "abstention": "Nothing is said."}
    assert given.keys() == Grounding.__annotations__.keys()
    assert RowPlan(**given, per_context=2).grounding() == Grounding(**given)
