"""What an answer from passages is worth: against rows judged by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rag_corpus import index

from customize import Answer, DataError, Grounding, LoRA, OptionError
from customize.evaluation.questions import Question
from customize.evaluation.retrieving import RetrievingColumn
from customize.retrieval.library import Library
from customize.testing import ToyBackend
from customize_rag.plan import RowPlan
from customize_rag.scorer import Grounded

PASSAGES = ["We open at 8:15 am.", "The doors open at 7:40 am. We close at 9 pm."]
ASKED = {"passages": PASSAGES, "answer": "7:40 am", "supporting": [2]}
SILENT = {"passages": PASSAGES, "answer": None, "supporting": []}
ABSTAINS = "The documents do not say."
GROUNDED = Grounded()


def score(text: str, row: dict[str, Any], scorer: Grounded = GROUNDED) -> dict[str, float]:
    message = {"role": "assistant", "content": text}
    answer = Answer(text, message, 0, 0, None, finished=True, latency_s=0.0, share_s=0.0)
    found = scorer.score(answer, row)
    assert found is not None
    return dict(found)


@pytest.mark.parametrize(
    ("text", "right", "contained", "precision", "recall", "verbatim"),
    [
        ('"The doors open at 7:40 am" [2]\n7:40 am', 1, 1, 1, 1, 1),
        ('"The doors open at 7:40 am" [1]\n7:40 am', 0, 1, 0, 0, 0),
        ('"The doors open at 7:45 am" [2]\n7:45 am', 0, 0, 1, 1, 0),
        ('"We open at 8:15 am" [1]\n"The doors open" [2]\n7:40 am', 0, 1, 0.5, 1, 1),
        ("They open at 7:40 am.", 0, 1, None, 0, None),
        (ABSTAINS, 0, 0, None, 0, None),
    ],
)
def test_an_answer(
    text: str,
    right: float,
    contained: float,
    precision: float | None,
    recall: float,
    verbatim: float | None,
) -> None:
    found = score(text, ASKED)
    assert (found["right"], found["contained"]) == (right, contained)
    assert found["citation_recall"] == recall
    assert found.get("citation_precision") == precision
    assert found.get("verbatim") == verbatim


def test_what_supports_is_what_holds_the_answer_where_nobody_says() -> None:
    row = {key: value for key, value in ASKED.items() if key != "supporting"}
    said = '"The doors open at 7:40 am" [2]\n7:40 am'
    assert score(said, row) == score(said, ASKED)
    with pytest.raises(DataError, match="needs 'answer'"):
        score(said, {"passages": PASSAGES})


def test_silence_is_right_where_the_passages_are_silent_alone() -> None:
    assert score(ABSTAINS, SILENT) == {"abstains": True, "should": True, "right": True}
    assert score('"We close at 9 pm" [2]\n9 pm', SILENT)["right"] == 0
    assert score(ABSTAINS, ASKED)["right"] == 0


@pytest.mark.parametrize(
    ("options", "own", "said", "abstains"),
    [
        ({}, "I cannot find it.", "I cannot find it.", True),
        ({}, "I cannot find it.", ABSTAINS, False),
        ({}, None, ABSTAINS, True),
        ({"abstention": "No idea."}, "I cannot find it.", "No idea.", True),
        ({"abstention": "No idea."}, "I cannot find it.", "I cannot find it.", False),
    ],
)
def test_abstaining_is_what_the_run_says_unless_an_option_says_otherwise(
    options: dict[str, Any], own: str | None, said: str, abstains: bool
) -> None:
    row = {**SILENT, "abstention": own}
    found = score(said, row, Grounded(**options))
    assert (found["abstains"], found["right"]) == (abstains, abstains)


def test_a_run_with_a_sentence_of_its_own_is_counted_as_silent() -> None:
    form = Grounding(abstention="I cannot find it.")
    session = ToyBackend().load(None).open(LoRA(), 0)
    column = RetrievingColumn("own", session, library=Library(index(), form))
    messages = [{"role": "user", "content": "Who owns the pool?"}]
    asked = column.as_asked(Question("1", {"messages": messages, "answer": None}, messages))
    assert score("I cannot find it.", dict(asked.row))["right"] is True


@pytest.mark.parametrize("abstention", ["", "..."])
def test_a_sentence_that_every_answer_begins_with_is_refused(abstention: str) -> None:
    with pytest.raises(OptionError, match="abstention must be a sentence"):
        Grounded(abstention=abstention)
    with pytest.raises(OptionError, match="abstention must be a sentence"):
        RowPlan(abstention=abstention)


def test_abstention_over_rows_is_counted_by_hand() -> None:
    # Says so in 3 of 5 rows, rightly in 2; should in 4.
    abstains, should = np.array([1.0, 1, 1, 0, 0]), np.array([1.0, 1, 0, 1, 1])
    scores = {"abstains": abstains, "should": should}
    found = Grounded().summary(scores, np.ones((1, 5)))
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == pytest.approx(2 / 4)
    assert found["f1"] == pytest.approx(4 / 7)


def test_a_row_without_passages_is_not_asked() -> None:
    assert Grounded().score(None, {"answer": "7:40 am"}) is None  # type: ignore[arg-type]
