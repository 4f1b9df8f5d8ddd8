"""Packages as a whole: written beside, proven in a fresh process, or not there."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
from collections import namedtuple
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from table_format import Table, TableFile, exportable, tables
from tokenizers import Tokenizer

import customize
from customize import (
    Batch,
    Exportable,
    ExportError,
    Manifest,
    OptionError,
    ParityError,
    RunBusy,
    RunError,
    UnknownName,
    Unsupported,
    open_package,
)
from customize.cli.group import cli
from customize.packaging import opening, verifying
from customize.packaging.manifest import damage
from customize.packaging.prompts import Question, hard_questions
from customize.packaging.reference import Case, reference_cases
from customize.packaging.writing import Lineage, Proof, folder_beside, write_package
from customize.runs.serving import offers_of
from customize.testing import write_tiny_model


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Exportable:
    folder = tmp_path_factory.mktemp("source")
    return exportable(write_tiny_model(folder / "model"), folder / "weights")


@pytest.fixture(scope="module")
def cases(source: Exportable) -> list[Case]:
    base_VV, customized_VV = tables()
    secret = Question("row 1", [{"role": "user", "content": "secret row"}], is_kept=False)
    base = Table(source.renderer, base_VV)  # type: ignore[arg-type]
    session = Table(source.renderer, customized_VV)  # type: ignore[arg-type]
    return reference_cases(session, base, [secret, *hard_questions(source)])


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


def test_a_package_without_adapters_has_no_base_to_ask(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "load", lambda kind, name: TableFile)
    opened = customize.open(package)
    assert isinstance(opened.reply("Hi", max_tokens=3), str)
    told = r"the weights of .*out are merged or whole.*customize\.open\(.*model"
    with pytest.raises(Unsupported, match=told):
        opened.reply("Hi", base=True)
    asked = ["chat", str(package), "--base", "--message", "Hi"]
    assert isinstance(CliRunner().invoke(cli, asked).exception, Unsupported)
    items = [{"messages": [{"role": "user", "content": "Hi"}], "expect": {"max_words": 500}}]
    assert len(opened.evaluate(items, max_tokens=3).items) == 1  # as a model of its own


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


def ending_after_x(source: Exportable) -> tuple[Table, Table]:
    """A session that would end after the letter x alone, which it never says; and its base."""
    base_VV, customized_VV = tables()
    tokenizer = Tokenizer.from_file(str(source.model.path / "tokenizer.json"))
    [x] = tokenizer.encode("x", add_special_tokens=False).ids
    stops = [*source.renderer.stop_tokens]
    customized_VV[:, [x, *stops]] = -50
    customized_VV[x, stops] = 50
    renderer: Any = source.renderer
    return Table(renderer, customized_VV), Table(renderer, base_VV)


def test_the_least_context_that_can_be_proven_is_and_a_smaller_one_is_told_it(
    source: Exportable, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="a context of 64 tokens is too small") as refused:
        written(source, [], tmp_path / "out", context=64)
    [least] = map(int, re.findall(r"of at least (\d+)", str(refused.value)))
    base_VV, customized_VV = tables()
    renderer: Any = source.renderer
    asked = hard_questions(source, least)
    cases = reference_cases(Table(renderer, customized_VV), Table(renderer, base_VV), asked)
    with pytest.raises(ExportError, match=f"of at least {least}"):
        written(source, cases, tmp_path / "out", context=least - 1)
    assert written(source, cases, tmp_path / "out", context=least).parity["verdict"] == "passed"


def test_where_no_answer_ends_one_is_asked_for_where_it_would(source: Exportable) -> None:
    session, base = ending_after_x(source)
    *asked, ending = reference_cases(session, base, hard_questions(source))
    assert not any(case.stopped for case in asked)
    assert ending.stopped
    assert ending.question.name == "digits, where it ends"
    assert source.renderer.decode(ending.given).endswith("0x")
    assert np.array_equal(ending.prompt[: len(ending.given)], ending.given)
    assert ending.answer.tolist() == [*source.renderer.stop_tokens]


def test_a_package_that_never_stops_is_refused(
    source: Exportable, cases: list[Case], tmp_path: Path
) -> None:
    assert any(case.stopped for case in cases)
    with pytest.raises(ParityError, match=r"it goes on after token \d+, at which the session ends"):
        written(source, cases, tmp_path / "out", endless=True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"beside": "setup.py"}, "setup.py can be run"),
        ({"beside": "weights.PTH"}, "weights.PTH can be run"),
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


def test_a_folder_that_somebody_makes_meanwhile_is_left(
    source: Exportable, cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tmp_path / "out"
    write = TableFile.write

    def slowly(self: TableFile, source: Exportable, folder: Path) -> None:
        write(self, source, folder)
        to.mkdir()
        (to / "mine.txt").write_text("mine")

    monkeypatch.setattr(TableFile, "write", slowly)
    with pytest.raises(ExportError, match="nothing is overwritten"):
        written(source, cases, to)
    assert [p.name for p in to.iterdir()] == ["mine.txt"]


def test_what_a_killed_export_left_is_no_hindrance(
    source: Exportable, cases: list[Case], tmp_path: Path
) -> None:
    (tmp_path / ".out.writing" / "package").mkdir(parents=True)
    (tmp_path / ".out.writing" / "package" / "half.txt").write_text("half")
    manifest = written(source, cases, tmp_path / "out")
    assert "half.txt" not in manifest.files
    assert {p.name for p in tmp_path.iterdir()} == {"facts.json", "out"}


def test_a_disk_that_fills_up_meanwhile_leaves_nothing_and_is_told(
    source: Exportable, cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(self: TableFile, source: Exportable, folder: Path) -> None:
        (folder / "table.npy").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(TableFile, "write", write)
    with pytest.raises(ExportError, match="could not be written: No space left on device"):
        written(source, cases, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["facts.json"]


def test_a_full_disk_is_told_before_any_work(
    source: Exportable, cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(1 << 20))
    monkeypatch.setattr(TableFile, "write", lambda *given: pytest.fail("it began"))
    with pytest.raises(ExportError, match="1 MiB free, and the package needs about 6"):
        written(source, cases, tmp_path / "out")


def test_sigterm_leaves_nothing_half_written(
    source: Exportable, cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def export() -> None:
        written(source, cases, tmp_path / "out")

    def write(self: TableFile, source: Exportable, folder: Path) -> None:
        assert [p.name for p in tmp_path.glob(".*")] == [".out.writing"]
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(TableFile, "write", write)
    monkeypatch.setattr("sys.argv", ["export"])
    with pytest.raises(SystemExit) as ended:
        customize.run_command(export)
    assert ended.value.code == 143
    assert [p.name for p in tmp_path.iterdir()] == ["facts.json"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_verifying_asks_again_what_the_package_keeps(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from table_format import TableRuntime

    monkeypatch.setattr(verifying, "runtime_of", lambda manifest: TableRuntime)
    parity = verifying.verify(package)
    hashing, asking = capsys.readouterr().err.splitlines()
    assert hashing == f"hashing {len(Manifest.read(package).files)} files"
    assert asking.startswith("loading it in a fresh process, and asking ")
    assert parity.passed
    assert parity.figures["kl"] == pytest.approx(0, abs=1e-12)
    assert parity.figures["prompts"] == Manifest.read(package).parity["figures"]["prompts"] - 1


def test_one_that_was_kept_despite_what_it_answers_says_so_when_it_is_opened(
    source: Exportable, cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from table_format import TableRuntime

    monkeypatch.setattr(opening, "runtime_of", lambda manifest: TableRuntime)
    fault = written(source, cases, tmp_path / "bad", noise=0.5, despite=True).parity["fault"]
    with pytest.warns(UserWarning, match="tabled answers otherwise than the run") as said:
        open_package(tmp_path / "bad")
    assert str(said[0].message).endswith(f"{fault['prompt']!r}: {fault['told']}")
    with pytest.warns(UserWarning, match="tabled answers otherwise than the run"):
        offers_of([str(tmp_path / "bad")])


def test_the_command_fails_where_a_package_answers_otherwise(
    source: Exportable, cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from table_format import TableRuntime

    monkeypatch.setattr(verifying, "runtime_of", lambda manifest: TableRuntime)
    written(source, cases, tmp_path / "good")
    written(source, cases, tmp_path / "bad", noise=0.5, despite=True)
    (tmp_path / "good" / "model.sig").write_text("{}")
    good, bad = (
        CliRunner().invoke(cli, ["verify", str(tmp_path / name)]) for name in ("good", "bad")
    )
    assert good.exit_code == 0
    told = "Signature: not checked, give --key\nParity: passed, for weights in float32\n"
    assert told in good.output
    assert isinstance(bad.exception, ParityError)
    assert "Signature: none\nParity: failed, for weights in float32\n" in bad.output


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


def test_of_two_exports_to_one_folder_the_second_waits_for_the_first(tmp_path: Path) -> None:
    to = tmp_path / "out"
    beside = to.with_name(".out.writing")
    (beside / "package").mkdir(parents=True)  # of an export that was killed
    (beside / "asked.json").touch()
    with folder_beside(to) as work:
        assert [path.name for path in work.iterdir()] == [".lock"]
        (work / "weights").touch()
        with pytest.raises(RunBusy, match="in use by the process"), folder_beside(to):
            pytest.fail("it writes where another does")
        assert (work / "weights").is_file()
    assert not [*tmp_path.iterdir()]


def test_a_card_may_be_edited_and_no_other_file(package: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(package, copy)
    (copy / "README.md").write_text("# My own words\n")
    assert damage(copy, Manifest.read(copy)) is None
    (copy / "run" / "facts.json").write_text("[]")
    assert damage(copy, Manifest.read(copy)) == "run/facts.json was changed"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda p: (p / "table.npy").write_bytes(b"x"), r"table\.npy has 1 bytes, and had \d"),
        (lambda p: flip(p / "tokenizer.json"), r"tokenizer\.json was changed"),
        (lambda p: (p / "tokenizer.json").unlink(), r"tokenizer\.json is missing"),
        (lambda p: (p / "run" / "more.bin").write_bytes(b"x"), r"run/more\.bin was added"),
        (lambda p: rewrite(p, more=1), "the key 'more' is none of a manifest"),
        (lambda p: rewrite(p, stop_tokens="x"), "stop_tokens must be a list"),
        (lambda p: rewrite(p, base={"name": "x"}), "base.fingerprint is missing"),
    ],
)
def test_damage_is_told_before_a_package_answers(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Any, told: str
) -> None:
    monkeypatch.setattr(opening, "load", lambda kind, name: TableFile)
    copy = tmp_path / "copy"
    shutil.copytree(package, copy)
    (copy / "README.md").write_text("# My own words\n")
    customize.open(copy)
    spoil(copy)
    with pytest.raises(ExportError, match=f"{told}.*(customize verify|export the run again)"):
        customize.open(copy)


def test_a_package_is_opened_for_the_gate_while_it_is_written(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runtime may open the folder as anybody does; its manifest names the files at the end."""
    monkeypatch.setattr(opening, "load", lambda kind, name: TableFile)
    copy = tmp_path / "copy"
    shutil.copytree(package, copy)
    rewrite(copy, files={}, sizes={})
    customize.open(copy)


def test_what_no_runtime_looks_for_does_not_keep_a_package_from_answering(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "load", lambda kind, name: TableFile)
    copy = tmp_path / "copy"
    shutil.copytree(package, copy)
    for hidden in (".git", "run/.cache"):
        (copy / hidden).mkdir()
        (copy / hidden / "kept").touch()
    (copy / "model.sig").touch()
    customize.open(copy)


def flip(file: Path) -> None:
    """As long as before."""
    content = file.read_bytes()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def rewrite(package: Path, **values: Any) -> None:
    file = package / "package.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def test_what_a_runtime_raises_is_told_with_the_package(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise RuntimeError("[ONNXRuntimeError] : 7")

    monkeypatch.setattr(opening, "load", lambda kind, name: TableFile)
    monkeypatch.setattr("table_format.TableRuntime.open", fail)
    with pytest.raises(ExportError, match=r"ONNXRuntimeError.*customize verify") as told:
        open_package(package)
    assert isinstance(told.value.__cause__, RuntimeError)


def test_a_run_and_a_package_are_told_apart(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(ExportError, match="is a run and no package: make one with customize exp"):
        verifying.verify(tmp_path)
    monkeypatch.setattr(opening, "load", lambda kind, name: TableFile)
    with pytest.raises(RunError, match="a package already: export the run that it was made from"):
        customize.open(package).export(TableFile(), tmp_path / "out")


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
