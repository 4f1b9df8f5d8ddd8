"""``customize compare``: what it prints, keeps and ends with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import customize
from customize import GateFailed
from customize.cli.group import cli
from customize.testing import ToyBackend

pytest.importorskip("customize_sft")

TOY = """
import customize

@customize.hookimpl
def customize_backends():
    yield customize.BackendSpec(name="toy", target="customize.testing:ToyBackend", summary="Toy.")
"""


def turns(question: str, answer: str) -> dict[str, object]:
    said = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": said}


@pytest.fixture
def place(tmp_path: Path, install: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run that says no, one that says yes, test rows, and the toy by its name."""
    install("acme-toy", TOY)
    monkeypatch.chdir(tmp_path)
    for name, answer in (("old", "no"), ("new", "yes")):
        customize.train(
            model="toy",
            data=[turns(f"question {n}", answer) for n in range(8)],
            to=tmp_path / name,
            backend=ToyBackend(),
            options={"epochs": 10, "batch_size": 4, "lr": 0.3},
        )
    rows = [{**turns(f"other {n}", ""), "expect": {"includes": "yes"}} for n in range(30)]
    for row in rows:
        del row["messages"][1]  # type: ignore[attr-defined]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def compare(*arguments: str) -> tuple[int, str, BaseException | None]:
    done = CliRunner().invoke(cli, ["compare", *arguments, "--max-tokens", "16"])
    return done.exit_code, " ".join(done.output.split()), done.exception


def test_it_keeps_its_files_beside_the_runs_own_and_ends_as_its_gates_say(place: Path) -> None:
    code, told, _ = compare("old", "new", "--data", "test.jsonl", "--gate", "better(right)")
    assert code == 0
    assert "pass: better(right): new against old on 30 rows" in told
    assert "Results: new/eval-against-old Report: new/eval-against-old/report.html" in told
    kept = place / "new" / "eval-against-old"
    names = {file.name for file in kept.iterdir()}
    assert names == {"results.json", "items.jsonl", "junit.xml", "report.html", "answers.jsonl"}
    results = json.loads((kept / "results.json").read_text())
    assert (list(results["columns"]), results["verdict"]) == (["base", "old", "new"], "pass")
    assert not (place / "new" / "eval").exists()
    assert not (place / "old" / "eval").exists()


def test_a_gate_that_fails_fails_the_command_and_to_names_the_folder(place: Path) -> None:
    gate = ("--gate", "no_worse(right, margin=0.05)", "--to", "compared")
    code, told, error = compare("new", "old", "--data", "test.jsonl", *gate)
    assert code == 1
    assert isinstance(error, GateFailed)
    assert "fail: no_worse(right, margin=0.05): old against new" in told
    assert (place / "compared" / "results.json").is_file()
    assert not (place / "old" / "eval-against-new").exists()


@pytest.mark.parametrize("option", ["--max-turns 3", "--solved 0.5"])
def test_what_nothing_reads_is_refused(place: Path, option: str) -> None:
    for command in (["compare", "old", "new"], ["evaluate", "new"]):
        arguments = [*command, "--data", "test.jsonl", *option.split()]
        done = CliRunner().invoke(cli, arguments)
        assert isinstance(done.exception, customize.OptionError)
        assert "only an environment's episodes have that" in str(done.exception)
    done = CliRunner().invoke(cli, ["evaluate", "new", "--data", "x", "--development", "y"])
    assert "or leave development out" in str(done.exception)
