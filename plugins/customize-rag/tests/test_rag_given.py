"""Rows that somebody gives, perhaps edited: they are learnt, and lead to an assistant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rag_corpus import DOCUMENTS, PAIRS, TEXTS

import customize
from customize import DataError, LoRA, OptionError
from customize.testing import ToyBackend
from customize_rag.making import made_of
from customize_rag.method import RAG
from customize_rag.plan import RowPlan
from customize_rag.preferring import held_back

PLAIN: dict[str, Any] = {"replay": 0.0, "batch_size": 2}


def documents(given: list[dict[str, Any]] = DOCUMENTS) -> customize.Dataset:
    return customize.read(given, kind="documents")


def write(file: Path, rows: list[dict[str, Any]]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(file)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def questions(tmp_path: Path) -> str:
    return write(tmp_path / "questions.jsonl", PAIRS)


@pytest.fixture
def edited(questions: str) -> list[dict[str, Any]]:
    """What the program makes, with a row less, one said otherwise, and one of somebody's own."""
    rows = [dict(row) for row in made_of(documents(), RowPlan(questions=questions)).rows[1:]]
    rows[0]["messages"] = [*rows[0]["messages"][:-1], {"role": "assistant", "content": "At dawn."}]
    rows[0]["kind"] = "answerable"
    talk = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hello."}]
    return [*rows, {"messages": talk}]


def test_edited_rows_are_learnt_as_they_are_and_lead_to_an_assistant(
    tmp_path: Path, edited: list[dict[str, Any]]
) -> None:
    run = customize.train(
        model="toy",
        data=DOCUMENTS,
        validation=[{"id": "pool", "text": TEXTS["shop"]}],  # of which rows are made
        to=tmp_path / "run",
        method="rag",
        options={**PLAIN, "rows": write(tmp_path / "edited.jsonl", edited)},
        backend=ToyBackend(),
    )
    assert run.folder is not None
    kept = [{k: v for k, v in row.items() if k != "step"} for row in run.folder.records("rows")]
    assert kept == edited
    [hit, *_] = run.assistant().hits("When does the Clock Shop open?")
    assert hit.chunk.document == "shop"
    # Those that a run keeps are given as well.
    again = RAG(rows=str(run.folder.path / "rows.jsonl"), **PLAIN)
    assert again.num_steps(documents()) == len(run.folder.metrics())


def test_of_given_rows_those_that_are_held_back_are_asked(
    tmp_path: Path, edited: list[dict[str, Any]]
) -> None:
    rows = write(tmp_path / "edited.jsonl", edited)
    method = RAG(rows=rows, preference="dta", preference_share=0.5, preference_steps=1, **PLAIN)
    steps = list(method.train(ToyBackend().load(None).open(LoRA(), 0), documents()))
    pairs = steps[-1].records["pairs"]
    _, asked = held_back(edited, 0.5)
    assert 0 < len(pairs) < len(asked)
    assert all(pair["kind"] for pair in pairs)  # talk is not about documents


def test_rows_that_were_edited_since_do_not_continue_a_run(
    tmp_path: Path, edited: list[dict[str, Any]]
) -> None:
    method = RAG(rows=write(tmp_path / "edited.jsonl", edited), **PLAIN)
    session = ToyBackend().load(None).open(LoRA(), 0)
    first = next(iter(method.train(session, documents())))
    write(tmp_path / "edited.jsonl", edited[:-1])
    with pytest.raises(DataError, match="the file of rows is another"):
        next(iter(method.train(session, documents(), first)))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"near_miss": 0.2, "disputed": 0.0}, "leave out near_miss, disputed"),
        ({"max_rows": 3}, "leave out max_rows"),
        ({"rows": "nowhere.jsonl"}, "there is no nowhere.jsonl"),
    ],
)
def test_what_would_be_ignored_beside_rows_is_refused(
    tmp_path: Path, edited: list[dict[str, Any]], given: dict[str, Any], named: str
) -> None:
    rows = write(tmp_path / "edited.jsonl", edited)
    with pytest.raises(OptionError, match=named):
        RAG(**{"rows": rows, **PLAIN, **given})


def test_questions_beside_rows_are_for_a_query_adapter_alone(
    tmp_path: Path, edited: list[dict[str, Any]], questions: str
) -> None:
    rows = write(tmp_path / "edited.jsonl", edited)
    with pytest.raises(OptionError, match="leave out questions"):
        RAG(rows=rows, questions=questions, **PLAIN)
    RAG(rows=rows, questions=questions, encoder="any", adapt_queries=True, **PLAIN)


@pytest.mark.parametrize(
    ("plan", "named"),
    [
        ({"k": 3}, "give k=4"),
        ({"instruction": "Be brief."}, "give instruction="),
        ({"abstention": "No idea."}, "give abstention="),
    ],
)
def test_rows_that_show_passages_otherwise_than_answers_will_are_refused(
    tmp_path: Path, edited: list[dict[str, Any]], plan: dict[str, Any], named: str
) -> None:
    method = RAG(rows=write(tmp_path / "edited.jsonl", edited), **PLAIN, **plan)
    with pytest.raises(DataError, match=named):
        method.num_steps(documents())
