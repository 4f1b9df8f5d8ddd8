"""A quantized package is held to the run's own rows, and an exact one is not asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from table_format import Table, TableFile, exportable, tables

from customize import Exportable, Parity
from customize.cli.parity_text import parity_text
from customize.packaging.parity import Limits
from customize.runs.no_worse import Task, held_to_evaluation, task_of
from customize.testing import write_tiny_model
from customize.training.evaluation_plan import EvaluationPlan
from customize.training.recipe import Recipe
from customize.training.recipe_making import make_recipe

PASSED = Parity("int8", Limits.of("int8"), {}, None)


@pytest.fixture
def source(tmp_path: Path) -> Exportable:
    return exportable(write_tiny_model(tmp_path / "model"), tmp_path / "weights")


def judged(source: Exportable, folder: Path, noise: float, count: int = 100) -> Parity | None:
    """What becomes of a package whose table is spoiled by so much; None where nobody asks."""
    session: Any = Table(source.renderer, tables()[1])  # type: ignore[arg-type]
    rows = [
        {"messages": [{"role": "user", "content": f"Row {n}?"}], "expect": {"equals": answer}}
        for n, answer in enumerate([_answer(session)] * count)
    ]
    exporter = TableFile(noise=noise, kept="int8")
    task = Task(EvaluationPlan(max_tokens=8), "rows.jsonl", rows)
    further = held_to_evaluation(task, exporter, source, session, margin=0.05)
    assert further is not None
    package = folder / "package"
    shutil.copytree(source.model.path, package)
    exporter.write(source, package)
    return further(PASSED, package)


def _answer(session: Any) -> str:
    from customize import Prompt, Sampling

    prompt = session.renderer.prompt([{"role": "user", "content": "Row 0?"}])
    [[said]] = session.sample([Prompt(prompt)], Sampling(max_tokens=8)).result()
    return str(session.renderer.decode(said.tokens)).strip()


def test_one_that_answers_its_rows_as_well_passes_and_says_so(
    source: Exportable, tmp_path: Path
) -> None:
    parity = judged(source, tmp_path, noise=0.0)
    assert parity is not None
    assert parity.passed
    assert parity.task is not None
    assert parity.task["verdict"] == "pass"
    assert "on 100 rows" in parity.task["told"]


def test_where_the_rows_are_too_few_to_tell_the_package_is_kept_and_says_so(
    source: Exportable, tmp_path: Path
) -> None:
    parity = judged(source, tmp_path, noise=0.0, count=3)
    assert parity is not None
    assert parity.passed
    assert parity.task is not None
    assert parity.task["verdict"] == "inconclusive"


def test_one_that_is_worse_is_refused_by_the_first_row_it_lost(
    source: Exportable, tmp_path: Path
) -> None:
    parity = judged(source, tmp_path, noise=5.0)
    assert parity is not None
    assert parity.fault is not None
    assert "it is worse on the rows of" in parity.fault.told
    assert parity.fault.prompt == "row 1"


@pytest.mark.parametrize("kept", ["float32", "float16", "int8"])
def test_exact_weights_are_not_asked(source: Exportable, kept: str) -> None:
    session: Any = Table(source.renderer, np.zeros((256, 256)))  # type: ignore[arg-type]
    exporter = TableFile(kept=kept)
    task = Task(EvaluationPlan(), "rows.jsonl", [])
    asked = held_to_evaluation(task, exporter, source, session, 0.05)
    assert (asked is None) == kept.startswith("float")


def test_without_rows_the_package_says_that_its_task_was_not_asked(source: Exportable) -> None:
    session: Any = Table(source.renderer, np.zeros((256, 256)))  # type: ignore[arg-type]
    exporter = TableFile(kept="int8")
    asked = held_to_evaluation(None, exporter, source, session, 0.05)
    assert asked is not None
    parity = asked(PASSED, Path("nowhere"))
    assert parity.task is not None
    assert parity.task["verdict"] == "not asked"
    told = parity_text(parity.to_json())
    assert "the task: not asked: the run's recipe evaluates on no rows" in told


def recipe_of(folder: Path, validation: str | None, **changed: Any) -> Recipe:
    held_out = None if validation is None else str(folder / f"{validation}.jsonl")
    values = {
        "model": "toy",
        "data": str(folder / "own.jsonl"),
        "method": "sft",
        "to": str(folder / "run"),
        "validation": held_out,
    }
    return make_recipe({**values, **changed})


def test_the_rows_are_those_that_the_runs_evaluation_asks(tmp_path: Path) -> None:
    asked = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    right = {**asked, "expect": {"equals": "b"}}
    files: dict[str, list[Any]] = {
        "own": [asked],
        "right": [right],
        "some": [right, asked],
        "bad": [right, {"messages": []}],
        "many": [{**right, "id": str(n)} for n in range(30)],
    }
    for name, rows in files.items():
        lines = "\n".join(json.dumps(row) for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(lines, "utf-8")
    own = {"data": str(tmp_path / "own.jsonl")}

    def judging(validation: str | None, **changed: Any) -> str | None:
        task = task_of(recipe_of(tmp_path, validation, **changed))
        return None if task is None else Path(task.name).stem

    assert judging("right") == "right"
    assert judging("some") is None
    assert judging("some", evaluate={"scorers": ["normalized"]}) == "some"
    assert judging(None) is None
    assert judging("right", evaluate=False) == "right"
    assert judging("right", evaluate=own) == "own"
    assert judging("bad", on_bad_rows="skip") == "bad"
    few = task_of(recipe_of(tmp_path, "many", evaluate={"max_rows": 10}))
    assert few is not None
    assert [row["id"] for row in few.rows] == [str(n) for n in range(0, 30, 3)]
