"""A package's run taken again: equal, or told where it first is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

import customize
from customize import ExportError, Manifest, reproduce
from customize.cli.group import cli
from customize.packaging.manifest import hashes_of
from customize.packaging.writing import fingerprint_of
from customize.runs import reproducing

pytest.importorskip("customize_sft")

ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"question {n}"},
            {"role": "assistant", "content": "sí"},
        ]
    }
    for n in range(8)
]
OPTIONS = {"steps": 3, "batch_size": 2, "lr": 0.1}
KEPT = ("recipe.json", "lineage.json", "metrics.jsonl")
PLUGIN = """
import customize


@customize.hookimpl
def customize_backends():
    yield customize.BackendSpec(
        name="toy", target="customize.testing:ToyBackend", summary="A table of what follows what."
    )
"""


@pytest.fixture(autouse=True)
def toy(install: Callable[..., None]) -> None:
    """The toy backend, by the name that a recipe keeps."""
    install("acme-toy", PLUGIN)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package as far as reproducing goes, of a run of the toy backend."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(map(json.dumps, ROWS)), "utf-8")
    return packaged(tmp_path, data=rows, options=OPTIONS)


def packaged(folder: Path, **given: Any) -> Path:
    run = customize.train(model="toy", to=folder / "run", backend="toy", **given)
    assert run.folder is not None
    to = folder / "package"
    (to / "run").mkdir(parents=True)
    for name in KEPT:
        shutil.copyfile(run.folder.path / name, to / "run" / name)
    about: dict[str, Any] = {
        "format": "acme:said",
        "precision": "float32",
        "name": "pizza",
        "needs_base": False,
        "base": {"name": "toy", "fingerprint": "f" * 64, "revision": None},
        "weights": fingerprint_of(run.folder.weights()),
        "is_adapter": True,
        "stop_tokens": [2],
        **{key: {} for key in ("options", "parity", "how_to_run", "run", "files")},
    }
    seal(Manifest(**about), to)
    return to


def seal(manifest: Manifest, package: Path) -> None:
    attrs.evolve(manifest, files=hashes_of(package)).write(package)


def test_the_same_weights_are_the_same_to_the_last_bit(package: Path, tmp_path: Path) -> None:
    found = reproduce(package, tmp_path / "again")
    assert found.is_equal
    assert (found.steps, found.beside) == (3, ())
    assert str(found) == "3 steps taken again: the weights are equal to the last bit"
    done = CliRunner().invoke(cli, ["reproduce", str(package), "--to", str(tmp_path / "third")])
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, str(found))


def otherwise_at(step: int) -> Callable[[Path], None]:
    """Spoil what the package keeps of the loss at a step, and of all seconds, which say nothing."""

    def spoil(package: Path) -> None:
        file = package / "run" / "metrics.jsonl"
        lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        lines[step - 1]["loss"] = 9.5
        for line in lines:
            line["waited_s"] = -1.0
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")

    return spoil


def shortened(package: Path) -> None:
    file = package / "run" / "metrics.jsonl"
    file.write_text("".join(file.read_text("utf-8").splitlines(keepends=True)[:2]), "utf-8")


def of_other_rows(package: Path) -> None:
    file = package / "run" / "lineage.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), "data": "others"}), "utf-8")


def of_other_weights(package: Path) -> None:
    attrs.evolve(Manifest.read(package), weights="others").write(package)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (of_other_rows, "first differs what went in: data was others and is "),
        (otherwise_at(2), "first differs step 2: loss was 9.5 and is "),
        (shortened, "first differs step 3, which this run alone has"),
        (of_other_weights, "first differs the weights, after steps that all were equal"),
    ],
)
def test_where_the_two_runs_first_differ_is_told_and_fails_the_command(
    package: Path, tmp_path: Path, spoil: Callable[[Path], None], told: str
) -> None:
    spoil(package)
    seal(Manifest.read(package), package)
    done = CliRunner().invoke(cli, ["reproduce", str(package), "--to", str(tmp_path / "again")])
    assert done.exit_code == 1
    assert told in done.output


def test_what_may_round_otherwise_is_told_beside(package: Path, tmp_path: Path) -> None:
    file = package / "run" / "lineage.json"
    told = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**told, "processor": "an abacus"}), "utf-8")
    seal(Manifest.read(package), package)
    found = reproduce(package, tmp_path / "again")
    assert found.is_equal
    assert found.beside == (f"processor was an abacus and is {told['processor']}",)


def test_rows_that_were_given_in_python_must_be_said(tmp_path: Path) -> None:
    package = packaged(tmp_path, data=ROWS[2:], validation=ROWS[:2], options=OPTIONS)
    data, validation = tmp_path / "data.jsonl", tmp_path / "validation.jsonl"
    for file, rows in ((data, ROWS[2:]), (validation, ROWS[:2])):
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        file.write_text("".join(lines), "utf-8")
    with pytest.raises(ExportError, match=r"its data was 6 rows that .* in Python.*\(--data\)"):
        reproduce(package, tmp_path / "again")
    with pytest.raises(ExportError, match=r"its validation was 2 rows .*\(--validation\)"):
        reproduce(package, tmp_path / "again", data)
    asked = ["reproduce", str(package), "--to", str(tmp_path / "again"), "--data", str(data)]
    done = CliRunner().invoke(cli, [*asked, "--validation", str(validation)])
    assert done.exit_code == 0
    assert done.output.endswith("3 steps taken again: the weights are equal to the last bit\n")


def test_every_stage_is_taken_again_and_refused_where_its_rows_were_given_in_python(
    tmp_path: Path,
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(map(json.dumps, ROWS)), "utf-8")
    then = {"name": "then", "data": str(rows), "options": OPTIONS}
    file = packaged(tmp_path / "file", stages=[{**then, "name": "first"}, then])
    given = packaged(tmp_path / "given", stages=[{**then, "name": "first", "data": ROWS}, then])
    assert reproduce(file, tmp_path / "again").is_equal
    with pytest.raises(ExportError, match="rows of an earlier stage were given in Python"):
        reproduce(given, tmp_path / "never")
    first = tmp_path / "first.jsonl"
    first.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS), "utf-8")
    assert reproduce(given, tmp_path / "now", settings=[f"stages.1.data={first}"]).is_equal


def test_documents_and_the_files_of_options_may_lie_elsewhere_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)), "utf-8")
    package = packaged(tmp_path, data=tmp_path / "rows.jsonl", options=OPTIONS)
    asked: list[Any] = []

    def stop(recipe: Any) -> None:
        asked.append(recipe)
        raise ExportError("far enough")

    monkeypatch.setattr(reproducing, "run_recipe", stop)
    documents = tmp_path / "documents"
    documents.mkdir()
    places = ["--data", str(documents), "--set", "options.questions=there.jsonl"]
    given = [*places, "--set", "adapter=runs/earlier", "--to", str(tmp_path / "again")]
    done = CliRunner().invoke(cli, ["reproduce", str(package), *given])
    assert str(done.exception) == "far enough"
    [recipe] = asked
    assert recipe.data == str(documents)
    assert recipe.options["questions"] == "there.jsonl"
    assert OPTIONS.items() <= recipe.options.items()
    assert recipe.adapter == "runs/earlier"


def test_a_package_that_is_not_what_was_written_is_not_trained(
    package: Path, tmp_path: Path
) -> None:
    (package / "run" / "recipe.json").write_text("{}")
    with pytest.raises(ExportError, match=r"is not what was written: run/recipe\.json was changed"):
        reproduce(package, tmp_path / "again")
    assert not (tmp_path / "again").exists()
