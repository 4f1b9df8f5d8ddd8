"""A query adapter in an assistant: trained with its rows, kept where it helps, carried along."""

from __future__ import annotations

import json
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from turned_encoder import SOURCE

import customize
from customize import DataError, Document, Grounding, OptionError, adapted_index, index_of
from customize.cli.group import cli
from customize.retrieval.fusion import FusedIndex
from customize.retrieval.query_adapter import AdaptedEncoder
from customize.runs.assistant import library_in
from customize.testing import ToyBackend, write_tiny_model

pytest.importorskip("customize_rag")

COUNT = 60
TEXTS = {f"{n}.md": f"The word is said{n}x." for n in range(COUNT)}
DOCUMENTS = [Document(name, text) for name, text in TEXTS.items()]
OPTIONS: dict[str, Any] = {
    **{"encoder": "turned", "adapt_queries": True, "k": 2, "replay": 0.0, "max_rows": 2}
}


@pytest.fixture(autouse=True)
def turned(install: Callable[..., None]) -> None:
    install("acme-turned", SOURCE)


def asked(shift: int = 0) -> list[dict[str, str]]:
    """Questions, each with the answer of its number, or of another."""
    return [
        {
            "question": f"asked {n}?",
            "answer": f"said{(n * (1 + shift) + shift) % COUNT}x",
            "document": f"{(n * (1 + shift) + shift) % COUNT}.md",
        }
        for n in range(COUNT)
    ]


def file_of(questions: list[dict[str, str]], folder: Path) -> str:
    file = folder / "questions.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in questions), "utf-8")
    return str(file)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (folder := tmp_path / "docs").mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text + "\n", "utf-8")
    return folder


def num_found(assistant: customize.Assistant) -> int:
    """Questions whose document comes first."""
    return sum(assistant.hits(f"asked {n}?")[0].chunk.document == f"{n}.md" for n in range(COUNT))


def train(docs: Path, questions: list[dict[str, str]], **more: Any) -> customize.Run:
    return customize.train(
        data=docs,
        to=docs.parent / "run",
        method="rag",
        options={**OPTIONS, "questions": file_of(questions, docs.parent)},
        evaluate=False,
        **more,
    )


def test_a_run_keeps_an_adapter_that_helps_and_its_report_says_so(docs: Path) -> None:
    run = train(docs, asked(), model="toy", backend=ToyBackend())
    for one in (run, customize.open(docs.parent / "run", backend=ToyBackend())):
        assert num_found(one.assistant()) > 0.8 * COUNT
    told = json.loads((docs.parent / "run/assistant/index/index.json").read_text("utf-8"))
    assert told["adapted"].endswith("the query adapter is kept")
    for page in ("report.html", "README.md"):
        assert told["adapted"] in unescape((docs.parent / "run" / page).read_text("utf-8"))


def test_a_run_keeps_none_where_no_gain_is_shown_and_its_report_says_so(docs: Path) -> None:
    train(docs, asked(shift=16), model="toy", backend=ToyBackend())
    assert not list((docs.parent / "run").rglob("query-adapter-*"))
    told = json.loads((docs.parent / "run/assistant/index/index.json").read_text("utf-8"))
    assert "adapter" not in told
    assert told["adapted"].endswith("no query adapter is kept, as no gain is shown")
    for page in ("report.html", "README.md"):
        assert told["adapted"] in unescape((docs.parent / "run" / page).read_text("utf-8"))


def test_rows_that_are_given_leave_the_questions_to_the_adapter(docs: Path) -> None:
    said = [("user", "asked 1?"), ("assistant", "said1x")]
    row = {"messages": [{"role": role, "content": content} for role, content in said]}
    (rows := docs.parent / "rows.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    given = {name: value for name, value in OPTIONS.items() if name != "max_rows"}
    run = customize.train(
        model="toy",
        data=docs,
        to=docs.parent / "run",
        method="rag",
        options={**given, "questions": file_of(asked(), docs.parent), "rows": str(rows)},
        evaluate=False,
        backend=ToyBackend(),
    )
    assert num_found(run.assistant()) > 0.8 * COUNT


def test_held_out_documents_train_none(tmp_path: Path) -> None:
    from customize_rag.method import RAG

    held_out = customize.read([{"id": name, "text": TEXTS[name]} for name in ("1.md", "2.md")])
    method = RAG(**OPTIONS, questions=file_of(asked(), tmp_path))
    assert method.examples(held_out)
    with pytest.raises(DataError, match="needs 20 questions"):
        method.num_steps(held_out)


@pytest.mark.parametrize("left_out", ["encoder", "questions"])
def test_without_vectors_or_questions_it_is_refused(docs: Path, left_out: str) -> None:
    options = {**OPTIONS, "questions": file_of(asked(), docs.parent), left_out: None}
    with pytest.raises(OptionError, match="give questions and encoder, or leave it out"):
        customize.train(
            model="toy",
            data=docs,
            to=docs.parent / "run",
            method="rag",
            options=options,
            backend=ToyBackend(),
        )
    with pytest.raises(OptionError, match="the index has none: give an encoder"):
        adapted_index(index_of(DOCUMENTS), asked())


def test_an_open_index_is_adapted_as_a_folder_is_and_kept_so(tmp_path: Path) -> None:
    index, told = adapted_index(index_of(DOCUMENTS, encoder="turned"), asked())
    customize.build_index([*map(_record, DOCUMENTS)], tmp_path / "index", encoder="turned")
    assert customize.adapt_index(tmp_path / "index", asked()) == told
    again, same = adapted_index(index, asked())  # trained anew, and not on top of itself
    assert same == told
    customize.save_assistant(tmp_path / "kept", Grounding(), again, "a renderer")
    library = library_in(tmp_path / "kept", "a renderer")
    folder = customize.open_index(tmp_path / "index")
    for question in (one["question"] for one in asked()):
        found = [hit.chunk for hit in library.index.search(question, 5)]
        assert found == [hit.chunk for hit in index.search(question, 5)]
        assert found == [hit.chunk for hit in folder.search(question, 5)]


def _record(document: Document) -> dict[str, str]:
    return {"id": document.id, "text": document.text}


@pytest.mark.slow
def test_package_update_and_server_ask_by_it(docs: Path, tmp_path: Path) -> None:
    for needed in ("torch", "peft"):
        pytest.importorskip(needed)
    from customize.runs.serving import offers_of

    write_tiny_model(tmp_path / "model")
    model: dict[str, Any] = {"model": tmp_path / "model", "adapter": {"rank": 2}, "backend": "cpu"}
    run = train(docs, asked(), **model)
    package = tmp_path / "package"
    run.export("hf", package)
    assert "the query adapter is kept" in (package / "README.md").read_text("utf-8")
    (docs / "new.md").write_text(f"The word is said{COUNT + 5}x.\n")
    update = ["index", "update", str(package), str(docs)]
    assert CliRunner().invoke(cli, update).exit_code == 0
    assistant = customize.open(package).assistant()
    assert num_found(assistant) > 0.8 * COUNT
    assert assistant.hits(f"asked {COUNT + 5}?")[0].chunk.document == "new.md"
    for source in (tmp_path / "run", package):
        [offer] = offers_of([str(source)])
        assert offer.library is not None
        index = offer.library.index
        assert isinstance(index, FusedIndex)
        assert isinstance(index.encoder, AdaptedEncoder)
