"""Packages as a whole: written beside, proven in a fresh process, or not there."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from table_format import Table, TableFile, exportable, tables

import customize
from customize import (
    Batch,
    Exportable,
    ExportError,
    Manifest,
    OptionError,
    ParityError,
    UnknownName,
    open_package,
)
from customize.packaging import opening, verifying, writing
from customize.packaging.prompts import Question, hard_questions
from customize.packaging.reference import Case, reference_cases
from customize.packaging.writing import Lineage, Proof, write_package
from customize.testing import write_tiny_model


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Exportable:
    folder = tmp_path_factory.mktemp("source")
    return exportable(write_tiny_model(folder / "model"), folder / "weights")


@pytest.fixture(scope="module")
def cases(source: Exportable) -> list[Case]:
    base_VV, customized_VV = tables()
    secret = Question("row 1", [{"role": "user", "content": "secret row"}], is_kept=False)
    snapshots = [Table(source.renderer, table) for table in (customized_VV, base_VV)]  # type: ignore[arg-type]
    return reference_cases(*snapshots, [secret, *hard_questions(source)])


def written(source: Exportable, cases: list[Case], to: Path, **options: Any) -> Manifest:
    despite = options.pop("despite", False)
    facts = to.parent / "facts.json"
    facts.write_text("{}")
    lineage = Lineage({"recipe": "abc"}, {"facts.json": facts}, lambda manifest: "# A card\n")
    return write_package(source, TableFile(**options), Proof(cases, None, despite), lineage, to)


@pytest.fixture(scope="module")
def package(
    source: Exportable, cases: list[Case], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    to = tmp_path_factory.mktemp("written") / "out"
    written(source, cases, to)
    return to


def test_a_package_says_what_it_is_and_what_is_in_it(package: Path, source: Exportable) -> None:
    manifest = Manifest.read(package)
    assert manifest.base["fingerprint"] == source.model.fingerprint
    assert manifest.parity["verdict"] == "passed"
    assert manifest.how_to_run["tables"] == "tables {folder}"
    assert manifest.stop_tokens == source.renderer.stop_tokens
    there = {p.relative_to(package).as_posix() for p in package.rglob("*") if p.is_file()}
    assert there == {*manifest.files, "package.json"}
    assert {"table.npy", "tokenizer.json", "run/facts.json", "README.md"} <= there
    assert not [p for p in package.rglob("*") if p.is_file() and p.stat().st_mode & 0o111]


def test_held_out_rows_are_asked_and_are_not_given_away(package: Path, cases: list[Case]) -> None:
    assert cases[0].question.name == "row 1"
    everything = b"".join(p.read_bytes() for p in package.rglob("*") if p.is_file())
    assert b"secret row" not in everything
    assert Manifest.read(package).parity["figures"]["prompts"] == len(cases)


def test_one_that_answers_otherwise_leaves_only_what_was_wrong(
    source: Exportable, cases: list[Case], tmp_path: Path
) -> None:
    to = tmp_path / "out"
    with pytest.raises(ParityError, match="prompt 'row 1', token"):
        written(source, cases, to, noise=0.5)
    assert [p.name for p in tmp_path.iterdir() if p.name != "facts.json"] == ["out"]
    assert [p.name for p in to.iterdir()] == ["parity.json"]
    told = json.loads((to / "parity.json").read_text())
    assert (told["verdict"], told["fault"]["prompt"]) == ("failed", "row 1")
    assert told["fault"]["token"] >= 1
    kept = written(source, cases, to, noise=0.5, despite=True)  # and it may be tried again there
    assert Manifest.read(to).parity["verdict"] == "failed"
    assert kept.parity["fault"] == told["fault"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"beside": "setup.py"}, "setup.py can be run"),
        ({"refuses": True}, "those of alpacas are"),
    ],
)
def test_what_cannot_be_a_package_leaves_nothing(
    source: Exportable, cases: list[Case], tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ExportError, match=told):
        written(source, cases, tmp_path / "out", **options)
    assert [p.name for p in tmp_path.iterdir()] == ["facts.json"]


def test_an_existing_folder_is_refused_and_left(
    source: Exportable, cases: list[Case], tmp_path: Path
) -> None:
    to = tmp_path / "out"
    to.mkdir()
    (to / "mine.txt").write_text("mine")
    with pytest.raises(ExportError, match="nothing is overwritten"):
        written(source, cases, to)
    assert (to / "mine.txt").read_text() == "mine"


def test_a_full_disk_is_told_before_any_work(
    source: Exportable, cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda folder: usage(1 << 20))
    monkeypatch.setattr(TableFile, "write", lambda *given: pytest.fail("it began"))
    with pytest.raises(ExportError, match="1 MiB free, and the package needs about 6"):
        written(source, cases, tmp_path / "out")


def test_verifying_asks_again_what_the_package_keeps(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from table_format import TableRuntime

    monkeypatch.setattr(verifying, "runtime_of", lambda manifest: TableRuntime)
    parity = verifying.verify(package)
    assert parity.passed
    assert parity.figures["kl"] == pytest.approx(0, abs=1e-12)
    assert parity.figures["prompts"] == Manifest.read(package).parity["figures"]["prompts"] - 1


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda p: (p / "table.npy").write_bytes(b"x"), "table.npy was changed"),
        (lambda p: (p / "README.md").unlink(), "README.md is missing"),
        (lambda p: (p / "more.txt").write_text("x"), "more.txt was added"),
        (lambda p: (p / "link").symlink_to(p / "README.md"), "is no plain file"),
    ],
)
def test_a_file_that_is_not_as_it_was_is_named(
    package: Path, tmp_path: Path, spoil: Any, told: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(package, copy)
    spoil(copy)
    with pytest.raises(ExportError, match=told):
        verifying.verify(copy)


def test_a_package_of_any_format_has_the_face_of_a_run(
    package: Path, cases: list[Case], source: Exportable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "load", lambda kind, name: TableFile)
    opened = customize.open(package)
    for case in cases[:4]:
        said = opened.reply(case.question.messages, tools=case.question.tools, max_tokens=24)
        assert said == source.renderer.decode(case.answer).strip()
    table = Table(source.renderer, tables()[1])  # type: ignore[arg-type]
    weights = [[0, 1, 0, 2], [0, 0, 0], [0, 0, 1]]
    rows = [(np.arange(5, 5 + len(w)), {"weights": np.asarray(w, np.float32)}) for w in weights]
    batch = Batch.from_sequences(rows)
    found = opened.customized.forward(batch).result()
    np.testing.assert_allclose(found, table.forward(batch).result(), atol=1e-6)
    assert np.count_nonzero(found) == 3
    with pytest.raises(OptionError, match="has a runtime of its own"):
        customize.open(package, backend="cpu")


def test_a_package_never_says_which_code_loads_it(package: Path, tmp_path: Path) -> None:
    """Its format is a plugin's name, and nobody has installed one of that name."""
    with pytest.raises(UnknownName, match="provides the exporter 'table_format:TableFile'"):
        open_package(package)
