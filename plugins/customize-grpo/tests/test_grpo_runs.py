"""Runs: rewards from Python, recipes and the command line; what is kept, and what goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from toy_rewards import ROWS, likeness

import customize
from customize import EpisodesFailed, OptionError, Run, RunError
from customize.testing import ToyBackend
from customize.training import checkpoints
from customize.training.recipe_file import read_recipe, recipe_from_settings

SMALL: dict[str, Any] = {"batch_size": 3, "group_size": 4, "steps": 4, "max_tokens": 6, "lr": 0.05}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))


def train(to: Path, **settings: Any) -> Run:
    given: dict[str, Any] = {"reward": likeness, "data": ROWS, "options": SMALL, **settings}
    return customize.train(
        model="toy", method="grpo", backend=ToyBackend(), to=to, checkpoint_every=1, **given
    )


def test_a_reward_given_inline_is_in_the_recipe_by_its_hash(tmp_path: Path) -> None:
    train(tmp_path / "run")
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert recipe["options"]["reward"].startswith("likeness, sha256 ")
    assert recipe["options"]["per"] == "token"  # settled, so that a run tells what it did


def test_weights_and_several_parts_are_in_the_recipe_too(tmp_path: Path) -> None:
    def brief(completion: str) -> float:
        return -float(len(completion))

    run = train(tmp_path / "run", reward={likeness: 1.0, brief: 0.0})
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    names = {name.partition(",")[0]: weight for name, weight in recipe["options"]["reward"].items()}
    assert list(names.values()) == [1.0, 0.0]
    assert {"reward/likeness", "reward/brief"} <= run.metrics[0].keys()


def test_with_another_reward_a_run_does_not_go_on(tmp_path: Path) -> None:
    train(tmp_path / "run")
    (tmp_path / "run" / "finished.json").unlink()
    with pytest.raises(RunError, match=r"options\.reward: 'likeness, sha256"):
        train(tmp_path / "run", reward=lambda completion: 1.0)


def test_every_episode_is_kept_with_its_step(tmp_path: Path) -> None:
    train(tmp_path / "run")
    lines = (tmp_path / "run" / "episodes.jsonl").read_text().splitlines()
    episodes = [json.loads(line) for line in lines]
    assert [e["step"] for e in episodes] == [1 + i // 12 for i in range(48)]
    assert {"messages", "reward", "parts", "advantage", "version", "sequences"} <= set(episodes[0])


@pytest.mark.parametrize("last", [1, 2, 3])
def test_stopped_after_any_step_it_goes_on_bit_for_bit(last: int, tmp_path: Path) -> None:
    options = {**SMALL, "lag": 1}
    train(tmp_path / "unbroken", options=options)
    train(tmp_path / "broken", options=options)
    _as_if_killed_after(last, tmp_path / "broken")
    train(tmp_path / "broken", options=options)
    found, wanted = (
        (tmp_path / run / "adapter" / "adapter_model.safetensors").read_bytes()
        for run in ("broken", "unbroken")
    )
    assert found == wanted
    assert _lasting(tmp_path / "broken") == _lasting(tmp_path / "unbroken")


def _as_if_killed_after(last: int, folder: Path) -> None:
    """Only what was saved up to a step is left; what was logged after it is there still."""
    for checkpoint in (folder / "checkpoints").iterdir():
        if int(checkpoint.name[5:]) > last:
            shutil.rmtree(checkpoint)
    (folder / "finished.json").unlink()


def _lasting(folder: Path) -> list[Any]:
    """Episodes without their seconds."""
    found = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    return [{k: v for k, v in e.items() if k not in ("seconds", "calls")} for e in found]


def test_when_too_many_fail_what_was_done_is_saved(tmp_path: Path) -> None:
    seen = []

    def breaking(completion: str) -> float:
        seen.append(completion)
        if len(seen) > 24:
            raise OSError("sandbox gone")
        return float(len(completion) + len(seen))

    with pytest.raises(EpisodesFailed, match=r"the last good checkpoint is .*step-00000002"):
        customize.train(
            model="toy", method="grpo", backend=ToyBackend(), to=tmp_path / "run", data=ROWS,
            reward=breaking, options=SMALL, checkpoint_every=100,
        )  # fmt: skip
    found = checkpoints.latest(tmp_path / "run" / "checkpoints", print)
    assert found is not None
    assert found.step == 2


def test_a_recipe_names_its_reward_beside_the_data(tmp_path: Path) -> None:
    (tmp_path / "sums.yaml").write_text(
        "model: toy\ndata: rows.jsonl\nto: run\nmethod: grpo\n"
        "reward: toy_rewards:likeness\noptions: {steps: 2}\n"
    )
    recipe = read_recipe(tmp_path / "sums.yaml")
    assert recipe.options["reward"] == "toy_rewards:likeness"
    assert recipe.options["steps"] == 2
    told = recipe_from_settings(
        [
            "model=toy",
            "data=rows.jsonl",
            "to=run",
            "method=grpo",
            "environment=toy_rewards:two_turns",
        ]
    )
    assert told.options["environment"] == "toy_rewards:two_turns"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("reward: 3\n", r"sums.yaml:5: options.reward must be"),
        ("reward: toy_rewards:likness\n", "toy_rewards:likness' cannot be imported"),
        ("environment: gms8k\n", "gms8k"),
        ("reward: toy_rewards:likeness\noptions: {reward: x}\n", "reward is there twice"),
        ("rewrad: toy_rewards:likeness\n", "unknown key 'rewrad'"),
        ("method: sft\nreward: toy_rewards:likeness\n", "unknown key 'options.reward'"),
    ],
)
def test_a_recipe_that_is_wrong_is_refused_with_its_line(
    lines: str, told: str, tmp_path: Path
) -> None:
    method = "" if "method" in lines else "method: grpo\n"
    (tmp_path / "sums.yaml").write_text(f"model: toy\ndata: rows.jsonl\nto: run\n{method}{lines}")
    with pytest.raises(OptionError, match=told):
        read_recipe(tmp_path / "sums.yaml")


def test_a_stage_has_a_reward_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("customize_sft")
    chat = [{"prompt": f"question {i}", "completion": "yes"} for i in range(4)]
    run = customize.train(
        model="toy", backend=ToyBackend(), to=tmp_path / "run",
        stages=[
            {"data": chat, "options": {"steps": 2}},
            {"method": "grpo", "data": ROWS, "reward": likeness, "options": SMALL},
        ],
    )  # fmt: skip
    assert len(run.metrics) == 4
    assert (tmp_path / "run" / "episodes.jsonl").is_file()
