"""What a person writes for reinforcement learning stays short, and it trains."""

from __future__ import annotations

import importlib.util
import random
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

import customize
from customize.testing import ToyBackend, conformance

pytest.importorskip("customize_grpo")

FOLDER = Path(__file__).parents[2] / "examples" / "rl"
MOST_LINES = {"a reward": 3, "tools": 8, "an environment": 14}
ROWS = [{"prompt": f"How much is {i} plus 1?", "answer": str(i + 1)} for i in range(4)]
SMALL: dict[str, Any] = {
    "model": "toy",
    "data": ROWS,
    "method": "grpo",
    "options": {"steps": 2, "batch_size": 2, "group_size": 4, "max_tokens": 6},
}


def load(name: str) -> Any:
    sys.path.insert(0, str(FOLDER))
    try:
        spec = importlib.util.spec_from_file_location(f"rl_{name}", FOLDER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    return module


SNIPPETS = load("snippets")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))


def lines_of(name: str) -> list[str]:
    """What stands between the marks, without blank lines."""
    text = (FOLDER / "snippets.py").read_text("utf-8")
    inside = text.split(f"# begin: {name}\n")[1].split("# end")[0]
    return [line for line in inside.splitlines() if line.strip()]


@pytest.mark.parametrize("name", MOST_LINES)
def test_what_a_person_writes_is_short(name: str) -> None:
    assert 0 < len(lines_of(name)) <= MOST_LINES[name]


def test_a_reward_trains(tmp_path: Path) -> None:
    run = SNIPPETS.a_reward(**SMALL, backend=ToyBackend(), to=tmp_path / "run")
    assert "reward/correct" in run.metrics[-1]


def test_a_reward_with_tools_trains(tmp_path: Path) -> None:
    run = SNIPPETS.a_reward_and_tools(
        lambda query: [query], **SMALL, backend=ToyBackend(), to=tmp_path / "run"
    )
    assert len(run.metrics) == 2


def test_an_environment_trains(tmp_path: Path) -> None:
    run = customize.train(
        **SMALL, environment=SNIPPETS.higher_lower, backend=ToyBackend(), to=tmp_path / "run"
    )
    assert run.metrics[-1]["turns"] > 1


def test_the_environment_plays_as_it_says() -> None:
    rng = random.Random(3)
    secret = random.Random(3).randrange(100)
    game = SNIPPETS.higher_lower({}, rng)
    assert "Guess" in next(game)
    low = game.send(customize.Reply("it is 0")) if secret else "higher"
    assert low == "higher"
    with pytest.raises(StopIteration) as won:
        game.send(customize.Reply(str(secret)))
    assert won.value.value == {"won": 1.0}


test_higher_lower = conformance(environment=SNIPPETS.higher_lower)
CALCULATING, FORMATTING, REASONING = map(load, ("calculating", "formatting", "reasoning"))
test_calculating = conformance(environment=CALCULATING.calculating, on=CALCULATING.TRIAL.rows[:3])
test_formatting = conformance(
    environment=FORMATTING.TRIAL.environment, on=FORMATTING.TRIAL.rows[:3]
)
test_reasoning = conformance(environment=REASONING.TRIAL.environment, on=REASONING.TRIAL.rows[:3])


@pytest.mark.parametrize("module", [CALCULATING, FORMATTING, REASONING])
def test_nothing_that_is_asked_was_taught(module: Any) -> None:
    trial = module.TRIAL
    taught = [*trial.demonstrations, *chain(*trial.beside.values()), *trial.rows]
    questions = {row["messages"][1]["content"] for row in taught}
    assert not questions & {row["messages"][1]["content"] for row in trial.held_out}


@pytest.mark.parametrize(
    ("said", "right"),
    [
        (["calc: 40 + 2", "answer: 42"], 1.0),
        (["calc: 40 + 2", "It is 42."], 0.0),
        (["answer: 42"], 0.0),
        (["calc: 40 + 3", "answer: 43"], 0.0),
        (["calc: 40 +", "calc: 40 + 2", "answer: 42"], 1.0),
        (["calc: 40 + 2"] * 3 + ["answer: 42"], 1.0),
        (["calc: 40 + 2"] * 4, 0.0),
    ],
)
def test_the_calculators_task_is_strict(said: list[str], right: float) -> None:
    row = {"messages": [{"role": "user", "content": "40 plus 2?"}], "answer": "42"}
    game = CALCULATING.calculating(row, random.Random(0))
    next(game)
    for text in said[:-1]:
        game.send(customize.Reply(text))
    with pytest.raises(StopIteration) as end:
        game.send(customize.Reply(said[-1]))
    assert end.value.value == {"right": right}


@pytest.mark.parametrize(
    ("said", "reward"),
    [
        ('{"name": "Leo", "age": 30, "city": "Berlin"}', 1.0),
        ('{"name": "Leo", "age": 30, "city": "Rome"}', 0.5 + 0.5 * 2 / 3),
        ('{"name": "Leo", "age": 30}', 0.0),
        ('Here it is: {"name": "Leo", "age": 30, "city": "Berlin"}', 0.0),
        ("[]", 0.0),
    ],
)
def test_the_formats_task_is_strict(said: str, reward: float) -> None:
    row = {"name": "Leo", "age": 30, "city": "Berlin"}
    assert sum(FORMATTING.said(said, row).values()) == pytest.approx(reward)


@pytest.mark.parametrize(
    ("said", "is_right"),
    [
        ("12 + 3 = 15\n15 - 4 = 11\nanswer: 11", True),
        ("answer: 11", True),
        ("1 + 1 = 3\nanswer: 11\n", True),
        ("12 + 3 = 15\nanswer: 12", False),
        ("12 + 3 = 15\nThe answer: 11", False),
        ("answer: 11\nor so", False),
        ("12 + 3 = 15", False),
    ],
)
def test_the_last_line_alone_is_judged(said: str, is_right: bool) -> None:
    assert REASONING.right(said, "answer: 11") is is_right


def test_the_steps_that_are_shown_lead_to_the_answer() -> None:
    for row in REASONING.TRIAL.beside["with steps alone"]:
        *steps, last = row["messages"][-1]["content"].splitlines()
        sums = [step.split(" = ") for step in steps]
        assert len(sums) == 2
        assert all(customize.calculator(left) == right for left, right in sums)
        assert last == f"answer: {sums[-1][1]}"


def test_half_of_what_is_shown_answers_at_once() -> None:
    said = [row["messages"][-1]["content"] for row in REASONING.TRIAL.demonstrations]
    at_once = sum(text.startswith("answer: ") for text in said)
    assert at_once == len(said) / 2
