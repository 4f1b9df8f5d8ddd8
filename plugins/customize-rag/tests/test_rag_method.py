"""The method on the toy backend: rows are learnt by SFT, kept, and the assistant opened again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rag_corpus import DOCUMENTS, PAIRS

import customize
from customize import Batch, DataError, LoRA, RunError, Session
from customize.runs.assistant import library_in
from customize.testing import ToyBackend
from customize_rag.method import RAG
from customize_sft.method import SFT

PLAIN: dict[str, Any] = {"replay": 0.0, "per_context": 2, "batch_size": 2}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def questions(tmp_path: Path) -> str:
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS), "utf-8")
    return str(file)


@pytest.fixture
def run(tmp_path: Path, questions: str) -> customize.Run:
    return customize.train(
        model="toy",
        data=DOCUMENTS,
        validation=DOCUMENTS,
        to=tmp_path / "run",
        method="rag",
        options={**PLAIN, "questions": questions},
        backend=ToyBackend(),
    )


def open_session() -> Session:
    return ToyBackend().load(None).open(LoRA(), 0)


def documents() -> customize.Dataset:
    return customize.read(DOCUMENTS, kind="documents")


def test_it_is_sft_on_the_rows_that_it_keeps(questions: str) -> None:
    method = RAG(questions=questions, **PLAIN)
    ours, theirs = open_session(), open_session()
    steps = list(method.train(ours, documents()))
    rows = steps[0].records["rows"]
    sft = SFT(lr=5e-4, batch_size=2, epochs=1.0, replay=0.0, together=True)
    other = list(sft.train(theirs, customize.read(rows, kind="chat")))
    assert [step.metrics for step in steps] == [step.metrics for step in other]
    assert len(steps) == method.num_steps(documents()) == len(other)
    tokens = np.arange(200, dtype=np.int32)
    batch = Batch.from_sequences([(tokens, {"weights": np.ones(200)})])
    np.testing.assert_array_equal(ours.forward(batch).result(), theirs.forward(batch).result())


def test_a_row_that_is_too_long_has_too_much_of_passages(questions: str) -> None:
    method = RAG(questions=questions, max_length=5, **PLAIN)
    with pytest.raises(DataError, match="raise max_length, or lower k or chunk_tokens"):
        list(method.train(open_session(), documents()))


def test_other_questions_do_not_continue_a_run(questions: str) -> None:
    method = RAG(questions=questions, **PLAIN)
    first = next(iter(method.train(open_session(), documents())))
    Path(questions).write_text(json.dumps(PAIRS[0]) + "\n", "utf-8")
    with pytest.raises(DataError, match="the file of questions is another"):
        next(iter(method.train(open_session(), documents(), first)))


def test_the_run_keeps_its_rows(run: customize.Run) -> None:
    assert run.folder is not None
    lines = (run.folder.path / "rows.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert {row["step"] for row in rows} == {1}
    kept = customize.read(run.folder.path / "rows.jsonl", kind="chat")  # to edit and train on
    assert len(kept) == len(rows) > 3


def test_the_run_keeps_what_no_document_answers(tmp_path: Path, questions: str) -> None:
    lost = {"question": "When does the pool open?", "answer": "noon", "document": "pool"}
    with Path(questions).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(lost) + "\n")
    method = RAG(questions=questions, **PLAIN)
    first = next(iter(method.train(open_session(), documents())))
    assert first.records["left_out"] == [
        {"question": lost["question"], "reason": "there is no document 'pool'"}
    ]


def test_a_finished_run_is_evaluated_on_rows_that_are_made_of_held_out_documents(
    run: customize.Run, questions: str
) -> None:
    assert run.folder is not None
    made = RAG(questions=questions, **PLAIN).examples(documents())
    results = json.loads((run.folder.evaluation / "results.json").read_text("utf-8"))
    assert results["num_items"] == len(made) > 0
    assert "perplexity.nats_per_token" in results["metrics"]


def test_a_finished_run_answers_from_its_documents(run: customize.Run) -> None:
    assert run.folder is not None
    assistant = customize.open(run.folder.path, backend=ToyBackend()).assistant()
    answer = assistant.answer("When does the Clock Shop open?", max_tokens=8)
    assert answer.hits[0].chunk.document == "shop"
    assert "10:20 am" in answer.hits[0].chunk.text
    assert answer.raw
    assert len(answer.hits) <= assistant.grounding.k


def test_documents_are_swapped_without_training(run: customize.Run) -> None:
    other = customize.index_of(customize.read([{"id": "new", "text": "# Pool\n\nIt is blue."}]))
    [hit] = run.assistant(other).hits("Which colour is the pool?")
    assert hit.chunk.document == "new"


def test_an_index_that_is_kept_in_step_takes_the_place_of_the_runs(
    tmp_path: Path, run: customize.Run
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "pool.md").write_text("# Pool\n\nThe pool is blue.\n", "utf-8")
    customize.build_index(docs, tmp_path / "index")
    (docs / "pool.md").write_text("# Pool\n\nThe pool is green.\n", "utf-8")
    customize.update_index(tmp_path / "index", docs)
    [hit] = run.assistant(tmp_path / "index").hits("Which colour is the pool?")
    assert "green" in hit.chunk.text


def test_an_evaluation_asks_with_the_index_and_the_form_that_the_run_keeps(
    run: customize.Run,
) -> None:
    question = "When does the Clock Shop open?"
    asked = {"role": "user", "content": question}
    row = {"messages": [asked], "expect": {"includes": "10:20 am"}, "answer": "10:20 am"}
    got = run.evaluate([row], index="own", scorers=["grounded"], max_tokens=4)
    assert got.columns == ("base", "retrieved", "customized")
    assistant = run.assistant()
    shown = assistant.grounding.messages(question, [h.chunk for h in assistant.hits(question)])
    prompt = assistant.snapshot.renderer.prompt(shown)
    assert got.items[0].answers["retrieved"].num_prompt_tokens == len(prompt)
    assert "grounded.citation_recall" in got.items[0].scores["retrieved"]
    assert not got.faults
    # What it learnt from are the rows that the method made, which the run keeps.
    assert not any("not at hand" in note for note in got.notes)


def test_what_an_asker_may_not_see_is_not_retrieved(run: customize.Run) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "open", "text": "The pool is blue."},
        {"id": "closed", "text": "The pool opens with the code 4711.", "tags": ["staff"]},
    ]
    assistant = run.assistant(customize.index_of(customize.read(rows)))
    seen = {
        tags: [h.chunk.document for h in assistant.hits("pool code", tags)]
        for tags in ((), ("staff",))
    }
    assert seen[()] == ["open"]
    assert set(seen[("staff",)]) == {"open", "closed"}


@pytest.mark.parametrize("documents", [[], [customize.Document("a", "The pool is blue.")]])
def test_what_no_document_tells_is_asked_without_passages(
    run: customize.Run, documents: list[customize.Document]
) -> None:
    assistant = run.assistant(customize.index_of(documents))
    answer = assistant.answer("zeppelin?", max_tokens=4)
    assert (answer.hits, answer.citations) == ((), ())
    assert len(assistant.hits("pool")) == len(documents)  # of fewer than k all that fit


@pytest.mark.parametrize("is_folder", [True, False])
def test_personal_data_is_told_before_documents_are_indexed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_folder: bool,
) -> None:
    text = "Ask ann@example.com when we open."
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(text, "utf-8")
    told: list[str] = []

    def stop(*given: object) -> None:
        told.append(capsys.readouterr().err)
        raise KeyboardInterrupt

    monkeypatch.setattr("customize_rag.making.index_of", stop)
    data: Any = tmp_path / "docs" if is_folder else [{"id": "a", "text": text}]
    with pytest.raises(KeyboardInterrupt):
        customize.train(
            model="toy", data=data, to=tmp_path / "run", method="rag", backend=ToyBackend()
        )
    assert "personal: 1 x e-mail in 1 documents" in told[0]
    assert "ann@" not in told[0]


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    with pytest.raises(DataError, match="holds no document"):
        customize.train(
            model="toy", data=docs, to=tmp_path / "run", method="rag", backend=ToyBackend()
        )


def test_a_run_of_another_method_has_no_assistant(tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]
    run = customize.train(model="toy", data=rows, to=tmp_path / "sft", backend=ToyBackend())
    with pytest.raises(RunError, match="train with method=rag"):
        run.assistant()


def test_an_assistant_that_was_changed_by_hand_is_refused(run: customize.Run) -> None:
    assert run.folder is not None
    file = run.folder.assistant / "rag.json"
    file.write_text(file.read_text("utf-8").replace('"k": 4', '"k": 9'), "utf-8")
    with pytest.raises(RunError, match=r"rag\.json"):
        run.assistant()


@pytest.mark.parametrize("key", ["format", "ordinals", "fusion", "encoder", "index", "renderers"])
def test_a_folder_that_was_made_for_something_else_is_refused_by_name(
    run: customize.Run, key: str
) -> None:
    assert run.folder is not None
    kept = run.folder.assistant
    told = json.loads((kept / "rag.json").read_text("utf-8"))
    vectors = {"fusion": "reciprocal rank, k = 60"} if key == "encoder" else {}
    (kept / "rag.json").write_text(json.dumps({**told, **vectors, key: ["other"]}), "utf-8")
    named = {"index": "fingerprint", "renderers": "another template or tokenizer"}.get(key, key)
    with pytest.raises(DataError, match=named):
        library_in(kept, run.customized.renderer.fingerprint)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"k": "4"}, "k must be a whole number"),
        ({"k": [1]}, "k must be a whole number"),
        ({"k": 4.5}, "k must be a whole number"),
        ({"k": 0}, "k must be >= 1"),
        ({"instruction": 7}, "instruction must be text"),
        ({"depth": 2}, "unknown key 'depth'"),
    ],
)
def test_a_grounding_of_another_type_is_refused_by_name(
    run: customize.Run, given: dict[str, object], named: str
) -> None:
    assert run.folder is not None
    kept = run.folder.assistant
    told = json.loads((kept / "rag.json").read_text("utf-8"))
    told["grounding"] |= given
    (kept / "rag.json").write_text(json.dumps(told), "utf-8")
    with pytest.raises(DataError, match=named):
        library_in(kept, run.customized.renderer.fingerprint)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('{"question": "When?"}\n', "line 1 must read"),
        ("\nWhen?\n", "line 2 is not JSON"),
        (
            '{"question": "When?", "answer": "never", "document": "hall"}',
            "hall does not say 'never'",
        ),
        (
            '{"question": "When?", "answer": "never"}',
            "no document that the question finds says 'never'",
        ),
        ("", "answer no question"),
    ],
)
def test_questions_that_cannot_be_used_are_told(tmp_path: Path, lines: str, told: str) -> None:
    file = tmp_path / "wrong.jsonl"
    file.write_text(lines, "utf-8")
    with pytest.raises(DataError, match=told):
        RAG(questions=str(file), **PLAIN).num_steps(documents())


def test_without_questions_sentences_are_asked_for() -> None:
    method = RAG(**PLAIN)
    steps = list(method.train(open_session(), documents()))
    assert len(steps) == method.num_steps(documents())
    asked = [m["content"] for row in steps[0].records["rows"] for m in row["messages"]]
    assert any("what time" in text for text in asked)


def test_where_nothing_can_be_asked_the_error_says_to_give_questions() -> None:
    chinese = customize.read(
        [{"id": "shop", "text": "# 钟表店\n\n早上10:20开门。"}], kind="documents"
    )
    with pytest.raises(DataError, match="give questions, a file of your own"):
        RAG(**PLAIN).num_steps(chinese)


def test_a_share_that_one_document_does_not_allow_is_warned_of() -> None:
    one = customize.read([{"id": "shop", "text": DOCUMENTS[1]["text"]}], kind="documents")
    method = RAG(**{**PLAIN, "per_context": 1}, off_topic=0.5, near_miss=0.0)
    with pytest.warns(UserWarning, match=r"off_topic: of \d rows \d could not be made"):
        method.num_steps(one)
