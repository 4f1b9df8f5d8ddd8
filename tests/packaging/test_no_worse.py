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
from customize.runs.no_worse import held_to_evaluation, rows_that_judge
from customize.testing import write_tiny_model
from customize.training.evaluation_plan import EvaluationPlan
from customize.training.recipe_making import make_recipe

PASSED = Parity("int8", Limits.of("int8"), {}, None)


@pytest.fixture
def source(tmp_path: Path) -> Exportable:
    return exportable(write_tiny_model(tmp_path / "model"), tmp_path / "weights")


def judged(source: Exportable, folder: Path, noise: float) -> Parity | None:
    """What becomes of a package whose table is spoiled by so much; None where nobody asks."""
    session: Any = Table(source.renderer, tables()[1])  # type: ignore[arg-type]
    rows = [
        {"messages": [{"role": "user", "content": f"Row {n}?"}], "expect": {"equals": answer}}
        for n, answer in enumerate([_answer(session)] * 100)
    ]
    data = folder / "rows.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    exporter = TableFile(noise=noise, kept="int8")
    plan = EvaluationPlan(max_tokens=8)
    further = held_to_evaluation(plan, str(data), exporter, source, session, margin=0.05)
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
    asked = held_to_evaluation(EvaluationPlan(), "rows.jsonl", exporter, source, session, 0.05)
    assert (asked is None) == kept.startswith("float")


def test_without_rows_the_package_says_that_its_task_was_not_asked(source: Exportable) -> None:
    session: Any = Table(source.renderer, np.zeros((256, 256)))  # type: ignore[arg-type]
    exporter = TableFile(kept="int8")
    asked = held_to_evaluation(EvaluationPlan(), None, exporter, source, session, 0.05)
    assert asked is not None
    parity = asked(PASSED, Path("nowhere"))
    assert parity.task is not None
    assert parity.task["verdict"] == "not asked"
    assert "the task: not asked: the run holds out no rows" in parity_text(parity.to_json())


def test_the_rows_are_the_recipes_own_or_those_held_out_with_expect(tmp_path: Path) -> None:
    asked = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    right = {**asked, "expect": {"equals": "b"}}
    files: dict[str, list[Any]] = {"own": [asked], "right": [right], "some": [right, asked]}
    for name, rows in files.items():
        lines = "\n".join(json.dumps(row) for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(lines, "utf-8")

    def judging(validation: str | None, **evaluate: str) -> str | None:
        held_out = None if validation is None else str(tmp_path / f"{validation}.jsonl")
        recipe = make_recipe(
            {
                "model": "toy",
                "data": str(tmp_path / "own.jsonl"),
                "method": "sft",
                "to": str(tmp_path / "run"),
                "validation": held_out,
                "evaluate": evaluate or True,
            }
        )
        found = rows_that_judge(recipe)
        return None if found is None else Path(found).stem

    assert judging("right") == "right"
    assert judging("some") is None
    assert judging(None) is None
    assert judging("right", data=str(tmp_path / "own.jsonl")) == "own"
    assert judging("right", data="moved.jsonl") == "right"
