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
from customize.packaging.parity import Limits
from customize.runs.no_worse import held_to_evaluation
from customize.testing import write_tiny_model
from customize.training.evaluation_plan import EvaluationPlan

PASSED = Parity("int8", Limits.of("int8"), {}, None)


@pytest.fixture
def source(tmp_path: Path) -> Exportable:
    return exportable(write_tiny_model(tmp_path / "model"), tmp_path / "weights")


def judged(source: Exportable, folder: Path, noise: float) -> Parity | None:
    """What becomes of a package whose table is spoiled by so much; None where nobody asks."""
    session: Any = Table(source.renderer, tables()[1])  # type: ignore[arg-type]
    rows = [
        {"messages": [{"role": "user", "content": f"Row {n}?"}], "expect": {"equals": answer}}
        for n, answer in enumerate([_answer(session)] * 60)
    ]
    data = folder / "rows.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    exporter = TableFile(noise=noise, kept="int8")
    plan = EvaluationPlan(data=str(data), max_tokens=8)
    further = held_to_evaluation(plan, exporter, source, session, margin=0.05)
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
    assert "on 60 rows" in parity.task["told"]


def test_one_that_is_worse_is_refused_by_the_first_row_it_lost(
    source: Exportable, tmp_path: Path
) -> None:
    parity = judged(source, tmp_path, noise=5.0)
    assert parity is not None
    assert parity.fault is not None
    assert "it is worse on the rows of" in parity.fault.told
    assert parity.fault.prompt == "1"


@pytest.mark.parametrize("kept", ["float32", "float16", "int8"])
def test_exact_weights_and_runs_without_rows_are_not_asked(source: Exportable, kept: str) -> None:
    session: Any = Table(source.renderer, np.zeros((256, 256)))  # type: ignore[arg-type]
    here, nowhere = EvaluationPlan(data=__file__), EvaluationPlan(data="nowhere.jsonl")
    exporter = TableFile(kept=kept)
    for plan in (nowhere, None):
        assert held_to_evaluation(plan, exporter, source, session, 0.05) is None
    asked = held_to_evaluation(here, exporter, source, session, 0.05)
    assert (asked is None) == kept.startswith("float")
