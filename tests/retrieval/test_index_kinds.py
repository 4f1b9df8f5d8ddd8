"""Kinds of indexes that plugins offer: chosen by name, and kept with what they are made for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import customize
from customize import Chunk, Document, UnknownName, index_of
from customize.cli.group import cli
from customize.retrieval.fusion import FusedIndex
from customize.testing import ToyBackend, write_tiny_model

SOURCE = '''
import customize
from customize.retrieval.sqlite_index import SqliteIndex


class Acme(SqliteIndex):
    """SQLite under another name."""


@customize.hookimpl
def customize_indexes():
    yield customize.IndexSpec(name="acme", target=f"{__name__}:Acme", summary="Words.")
'''
DOCUMENTS = [
    Document("shop.md", "The doors open at 10:20 am."),
    Document("camp.md", "A tent pitch costs $31.20."),
    Document("staff.md", "The doors open with the code 4711.", frozenset({"staff"})),
]
OPTIONS: dict[str, Any] = {"k": 1, "replay": 0.0, "max_rows": 2}


@pytest.fixture(autouse=True)
def acme(install: Callable[..., None]) -> None:
    install("acme-words", SOURCE)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (folder := tmp_path / "docs").mkdir()
    for document in DOCUMENTS:
        (folder / document.id).write_text(document.text + "\n", "utf-8")
    (folder / "access.yaml").write_text('"staff.md": [staff]\n')
    return folder


def kind(index: customize.Index) -> str:
    return type(index.words if isinstance(index, FusedIndex) else index).__name__


@pytest.mark.parametrize("name", ["acme", "acme-words:acme"])
def test_an_index_is_of_the_kind_that_is_named(name: str) -> None:
    index = index_of(DOCUMENTS, index=name)
    assert (kind(index), kind(index_of(DOCUMENTS))) == ("Acme", "SqliteIndex")
    assert [hit.chunk.document for hit in index.search("doors", 3)] == ["shop.md"]


def test_a_kind_that_nobody_offers_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="'acmee'; did you mean 'acme'"):
        index_of(DOCUMENTS, index="acmee")


def train(docs: Path, to: Path, index: str = "acme", **more: Any) -> customize.Run:
    pytest.importorskip("customize_rag")
    options = {**OPTIONS, "index": index}
    return customize.train(data=docs, to=to, method="rag", evaluate=False, options=options, **more)


def test_a_run_answers_from_the_kind_of_its_option(docs: Path, tmp_path: Path) -> None:
    run = train(docs, tmp_path / "run", model="toy", backend=ToyBackend())
    told = json.loads((tmp_path / "run/assistant/index/index.json").read_text("utf-8"))
    assert told["index"] == "acme-words:acme"
    for one in (run, customize.open(tmp_path / "run", backend=ToyBackend())):
        assert kind(one.assistant().index) == "Acme"
        assert [hit.chunk.document for hit in one.assistant().hits("doors")] == ["shop.md"]
        assert [h.chunk.document for h in one.assistant().hits("4711", {"staff"})] == ["staff.md"]


def test_a_kind_that_nobody_offers_leaves_a_folder_to_begin_in(docs: Path, tmp_path: Path) -> None:
    model: dict[str, Any] = {"model": "toy", "backend": ToyBackend()}
    with pytest.raises(UnknownName, match="'acmee'; did you mean 'acme'"):
        train(docs, tmp_path / "run", "acmee", **model)
    assert train(docs, tmp_path / "run", **model).has_assistant


@pytest.mark.slow
def test_a_package_and_a_server_answer_from_it(docs: Path, tmp_path: Path) -> None:
    for needed in ("torch", "peft"):
        pytest.importorskip(needed)
    from customize.runs.serving import offers_of

    write_tiny_model(tmp_path / "model")
    model: dict[str, Any] = {"model": tmp_path / "model", "adapter": {"rank": 2}, "backend": "cpu"}
    run = train(docs, tmp_path / "run", **model)
    run.export("hf", tmp_path / "package")
    for source in (tmp_path / "run", tmp_path / "package"):
        [offer] = offers_of([str(source)])
        assert offer.library is not None
        assert kind(offer.library.index) == "Acme"
    (docs / "shop.md").write_text("The doors open at noon.\n")
    update = ["index", "update", str(tmp_path / "package"), str(docs)]
    done = CliRunner().invoke(cli, update)
    assert done.exit_code == 0, done.output
    [hit] = (assistant := customize.open(tmp_path / "package").assistant()).hits("doors")
    assert isinstance(hit.chunk, Chunk)
    assert "noon" in hit.chunk.text
    assert kind(assistant.index) == "Acme"
