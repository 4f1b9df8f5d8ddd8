"""The businesses of the RAG example: nothing of the test is in training, and rows are as told."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parents[2] / "examples" / "rag"
sys.path.insert(0, str(HERE))

from asking import FORM, ORDER, ORDERED, Shelf, rows_of  # noqa: E402
from businesses import POOLS, Business, businesses, pairs  # noqa: E402
from facts import FACTS  # noqa: E402
from wordings import FRAMES  # noqa: E402

COUNTS = {
    **{"known": 20, "new": 20, "new fact": 10, "near miss": 20, "off topic": 10, "empty": 5},
    **{"changed": 20, "ordered": 5},
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    place, some = tmp_path_factory.mktemp("shelf"), businesses("test", 30)
    again = {
        "changed": Shelf.of(place / "changed", businesses("test", 30, edition=1), FORM),
        "ordered": Shelf.of(place / "ordered", some, FORM, ordered=True),
    }
    return rows_of(Shelf.of(place / "test", some, FORM), COUNTS, again)


def words_of(split: str) -> set[str]:
    pool = POOLS[split]
    services = itertools.chain.from_iterable(pool.kinds.values())
    parts = (pool.first, pool.second, pool.kinds, pool.streets, pool.given, pool.family, services)
    return set(itertools.chain.from_iterable(parts))


def test_splits_share_no_name_street_person_or_service() -> None:
    for one, other in itertools.combinations(POOLS, 2):
        assert not words_of(one) & words_of(other)


@pytest.mark.parametrize("split", POOLS)
def test_every_name_comes_once(split: str) -> None:
    names = [business.name for business in businesses(split, 60)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("split", POOLS)
def test_a_document_says_each_fact_word_for_word(split: str) -> None:
    for business in businesses(split, 30):
        text = business.document()
        for known in business.facts:
            assert text.count(business.said(known)) == 1
            assert known.value.casefold() in business.said(known).casefold()


def phrasings(wording: str) -> Iterator[str]:
    for fact in FACTS.values():
        words = fact.new if wording == "new" else fact.known
        yield from (*words.said, *words.asked, *words.named)
    yield from FRAMES[wording]


def test_new_words_are_none_of_the_known() -> None:
    assert not set(phrasings("known")) & set(phrasings("new"))


def test_training_has_no_new_word_and_no_new_fact() -> None:
    some = businesses("train", 120)
    assert {known.wording for business in some for known in business.facts} == {"known"}
    asked = [re.escape(q).replace(r"\{n\}", ".+") for q in FACTS["opens"].new.asked]
    for pair in pairs(some):
        assert not any(re.fullmatch(pattern, pair["question"]) for pattern in asked)


def test_the_same_business_is_drawn_again_and_an_edition_changes_values_alone() -> None:
    first, again, other = Business("test", 3), Business("test", 3), Business("test", 3, edition=1)
    assert first.document() == again.document()
    assert [(k.key, k.service) for k in first.facts] == [(k.key, k.service) for k in other.facts]
    changed = sum(a.value != b.value for a, b in zip(first.facts, other.facts, strict=True))
    assert changed >= 0.8 * len(first.facts)
    assert first.name == other.name


def test_rows_are_as_many_as_asked_for_and_none_twice(rows: list[dict[str, Any]]) -> None:
    assert len({row["id"] for row in rows}) == len(rows) == sum(COUNTS.values())


def test_supporting_passages_hold_the_answer_and_silent_ones_do_not(
    rows: list[dict[str, Any]],
) -> None:
    found = 0
    for row in rows:
        shown = row["messages"][1]["content"]
        for place in row["supporting"]:
            assert row["answer"].casefold() in row["passages"][place - 1].casefold()
            assert f"[{place}] {row['business']}" in shown
            found += 1
        if row["kind"] == "near miss":
            assert row["answer"] is None
        if row["kind"] == "empty":
            assert row["passages"] == []
    assert found > 0.8 * (COUNTS["known"] + COUNTS["new"] + COUNTS["new fact"] + COUNTS["changed"])


def test_an_ordered_row_shows_the_order(rows: list[dict[str, Any]]) -> None:
    ordered = [row for row in rows if row["edition"] == "ordered"]
    assert len(ordered) == COUNTS["ordered"]
    assert all(any(ORDER in passage for passage in row["passages"]) for row in ordered)
    assert [row for row in rows if row.get("injected") == ORDERED] == ordered


def test_a_changed_row_asks_the_same_and_has_another_answer(rows: list[dict[str, Any]]) -> None:
    by_id = {row["id"]: row for row in rows}
    changed = [row for row in rows if row["edition"] == "changed"]
    pairs_ = [(row, by_id[row["id"].removeprefix("changed-")]) for row in changed]
    assert len(pairs_) == COUNTS["changed"]
    for row, original in pairs_:
        ask = [one["messages"][1]["content"].rpartition("Question: ")[2] for one in (row, original)]
        assert ask[0] == ask[1]
    assert sum(row["answer"] != original["answer"] for row, original in pairs_) == len(pairs_)


@pytest.mark.slow
def test_the_proof_runs_with_fewer_rows(tmp_path: Path) -> None:
    pytest.importorskip("customize_torch")
    pytest.importorskip("customize_smollm2")
    short = {"RAG_ROWS": "4", "RAG_QUESTIONS": "4", "RAG_TO": str(tmp_path), "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, HERE / "proof.py"],
        env={**os.environ, **short},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "customized" in done.stdout
    found = json.loads((tmp_path / "retrieval.json").read_text("utf-8"))
    assert set(found["ranks"]) == {"words", "words and vectors", "words, vectors and adapter"}
    items = (tmp_path / "4-rows" / "eval" / "items.jsonl").read_text("utf-8").splitlines()
    assert len(items) == 5
