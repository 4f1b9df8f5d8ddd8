"""What would be read by nobody is refused, in recipes and in Python; commands take the same way."""

from __future__ import annotations

from typing import Any

import pytest

import customize
from customize import OptionError, Run
from customize.runs.evaluating import Asked
from customize.testing import ToyBackend
from customize.training.evaluation_plan import EvaluationPlan

CASES: list[tuple[dict[str, Any], str]] = [
    ({"development": "dev.jsonl"}, "or leave development out"),
    ({"max_turns": 3}, "max_turns=3: only an environment's episodes"),
    ({"solved": 0.5}, "solved=0.5: only an environment's episodes"),
    (
        {"max_turns": 3, "solved": 0.5},
        "max_turns=3 and solved=0.5: only an environment's episodes",
    ),
]


@pytest.mark.parametrize(("given", "told"), CASES)
def test_an_option_that_nothing_reads_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        EvaluationPlan(data="test.jsonl", **given)
    with pytest.raises(OptionError, match=told):
        Asked(rows=[], **given)
    with pytest.raises(OptionError, match=told):
        Run(None, None, ToyBackend()).evaluate([], **given)


def test_max_rows_beside_a_file_is_refused() -> None:
    with pytest.raises(OptionError, match="max_rows=5 is of held-out rows, and data names a file"):
        EvaluationPlan(data="test.jsonl", max_rows=5)
    assert EvaluationPlan(max_rows=5).max_rows == 5


def test_a_recipe_is_refused_before_anything_is_trained(tmp_path: Any) -> None:
    pytest.importorskip("customize_sft")
    asks = {"data": "test.jsonl", "max_rows": 5}
    with pytest.raises(OptionError, match="max_rows=5 is of held-out rows"):
        customize.train(
            model="toy", data=[], to=tmp_path / "run", backend=ToyBackend(), evaluate=asks
        )
    assert not (tmp_path / "run").exists()


def test_an_environment_is_not_told_to_bring_prompts() -> None:
    with pytest.raises(OptionError, match=r"an environment says itself .* leave out development"):
        EvaluationPlan(environment="games:guess", development="dev.jsonl")


def test_what_is_read_is_not_refused() -> None:
    for given in (
        {"development": "dev.jsonl", "prompts": ("a",)},
        {"development": "dev.jsonl", "shots": (0, 2)},
        {"environment": "games:guess", "max_turns": 3, "solved": 0.5},
    ):
        EvaluationPlan(data="test.jsonl", **given)
        Asked(rows=[], **given)
