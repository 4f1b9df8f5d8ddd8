"""A model that is asked with what an index finds, beside the same model without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from saying import taught

import customize
from customize import Grounding, Index, OptionError, RunError
from customize.evaluation import Draw, SnapshotColumn, Terms, evaluate
from customize.evaluation.questions import Question, questions_of
from customize.evaluation.remarks import remarks
from customize.evaluation.retrieving import RetrievingColumn
from customize.evaluation.scorers import as_scorers
from customize.retrieval.library import Library
from customize.testing import ToyBackend

DOCS: list[dict[str, Any]] = [
    {"id": "hours", "text": "# Hours\n\nThe shop opens at nine."},
    {"id": "phone", "text": "# Phone\n\nCall the shop on +49 30 1234567."},
    {"id": "staff", "text": "The shop's alarm has the code 4711.", "tags": ["staff"]},
]
ROWS = [
    {
        "id": str(n),
        "messages": [{"role": "user", "content": f"When does the shop open, {n}?"}],
        "expect": {"includes": "yes"},
    }
    for n in range(4)
]


@pytest.fixture(scope="module")
def index() -> Index:
    return customize.index_of(customize.read(DOCS, kind="documents"))


def column(index: Index, **more: Any) -> RetrievingColumn:
    library = Library(index, Grounding(k=2, instruction="Quote."))
    return RetrievingColumn("retrieved", taught("yes"), library=library, **more)


def question(row: dict[str, Any]) -> Question:
    [made] = questions_of([row], need_expect=False)
    return made


def test_passages_stand_before_the_question_and_the_rest_stays(index: Index) -> None:
    row = {
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hello."},
            {"role": "assistant", "content": "Hello!"},
            {"role": "user", "content": "When does the shop open?"},
        ]
    }
    got = column(index).as_asked(question(row))
    passages = [hit.chunk for hit in index.search("When does the shop open?", 2)]
    assert "opens at nine" in passages[0].text
    assert got.messages == [
        {"role": "system", "content": "Be kind.\n\nQuote."},
        *row["messages"][1:3],
        Grounding().messages("When does the shop open?", passages)[1],
    ]
    assert got.row["passages"] == [Grounding.passage(chunk) for chunk in passages]
    assert not any("4711" in text for text in got.row["passages"])  # not for everyone


def test_a_row_with_documents_of_its_own_is_asked_as_it_is(index: Index) -> None:
    asked = question({**ROWS[0], "documents": [{"title": "a", "text": "b"}]})
    assert column(index).as_asked(asked) == asked


def test_scorers_are_told_what_it_says_where_the_passages_do_not_tell(index: Index) -> None:
    library = Library(index, Grounding(abstention="I cannot find it."))
    own = RetrievingColumn("retrieved", taught("yes"), library=library)
    assert own.as_asked(question(ROWS[0])).row["abstention"] == "I cannot find it."


def test_what_is_found_is_a_part_of_what_the_answer_is_a_function_of(index: Index) -> None:
    other = customize.index_of(customize.read(DOCS[1:], kind="documents"))
    keys = {
        SnapshotColumn("c", taught("yes"), fingerprint="one").key(question(ROWS[0]), Draw()),
        *(
            column(each, fingerprint="one").key(column(each).as_asked(question(ROWS[0])), Draw())
            for each in (index, other)
        ),
    }
    assert len(keys) == 3


def test_what_a_passage_shows_is_no_leak_and_can_be_cited(index: Index) -> None:
    said = 'Call "+49 30 1234567" [1]: "Call the shop on +49 30 1234567" [3].'
    row = {"messages": [{"role": "user", "content": "Call the shop?"}]}
    scorers = as_scorers(["leaks", "citations"])
    own = column(index).as_asked(question(row)).row
    answer = customize.Answer(said, {}, 0, 0, None, finished=True, latency_s=0.0, share_s=0.0)
    without, shown = (scorers["leaks"].score(answer, each) for each in (row, own))
    assert (without["personal"], shown["personal"]) == (1, 0)  # type: ignore[index]
    assert scorers["citations"].score(answer, own) == {"exists": 0.5, "verbatim": 1.0}


def test_it_is_paired_with_the_others_on_the_same_rows(index: Index) -> None:
    session = taught("yes")
    columns = [
        SnapshotColumn("base", session.base()),
        column(index),
        SnapshotColumn("customized", session),
    ]
    got = evaluate(columns, ROWS, Terms(max_tokens=8))
    assert [item.hash for item in got.items] == [question(row).hash for row in ROWS]
    longer = [item.answers["retrieved"].num_prompt_tokens for item in got.items]
    assert min(longer) > max(item.answers["customized"].num_prompt_tokens for item in got.items)
    assert got.change("retrieved", "customized").estimate <= 0  # it learnt without passages
    assert any(line.startswith("With passages from the index customized") for line in remarks(got))


def test_a_run_and_a_base_answer_with_an_index(tmp_path: Path, index: Index) -> None:
    pytest.importorskip("customize_sft")
    said = {"role": "assistant", "content": "yes"}
    rows = [{"messages": [*row["messages"], said]} for row in ROWS]
    run = customize.train(
        model="toy",
        data=rows,
        to=tmp_path / "run",
        backend=ToyBackend(),
        options={"steps": 2},
        evaluate={"data": str(_written(tmp_path)), "index": str(_built(tmp_path)), "max_tokens": 4},
    )
    assert run.folder is not None
    page = (run.folder.evaluation / "report.html").read_text("utf-8")
    assert "retrieved" in page
    assert f"4 passages of the index {tmp_path / 'index'}" in page
    got = run.evaluate(ROWS, index=index, prompts="Say yes.", max_tokens=4)
    assert got.columns == ("base", "prompted", "retrieved", "customized")
    assert (got.new, got.rival) == ("customized", "prompted")
    base = customize.Run(None, None, ToyBackend())
    assert base.evaluate(ROWS, index=index, max_tokens=4).columns == ("base", "retrieved")
    with pytest.raises(RunError, match="train with method=rag"):
        run.evaluate(ROWS, index="own", max_tokens=4)
    with pytest.raises(OptionError, match="two columns are called 'retrieved'"):
        run.evaluate(ROWS, index=index, against={"retrieved": base}, max_tokens=4)


def _built(folder: Path) -> Path:
    (folder / "docs").mkdir()
    (folder / "docs" / "hours.md").write_text("The shop opens at nine.")
    customize.build_index(folder / "docs", folder / "index")
    return folder / "index"


def _written(folder: Path) -> Path:
    file = folder / "test.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return file
