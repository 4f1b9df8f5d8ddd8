"""Recipes of the official client's cookbook, unmodified and offline, train here and improve."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from listening import listening

import customize
from customize.testing.tiny_model import write_tiny_model

if find_spec("tinker_cookbook") is None:
    pytest.skip("the cookbook is not installed: see nox -s cookbook", allow_module_level=True)

RENDERER = "role_colon"  # of any tokenizer


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny").path


@pytest.fixture(scope="module")
def url(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with listening(tiny, tmp_path_factory.mktemp("kept")) as url:
        yield url


def recipe(module: str, url: str, log: Path, **options: Any) -> list[dict[str, float]]:
    """What each step told."""
    given = {"log_path": log, "base_url": url, "behavior_if_log_dir_exists": "delete", **options}
    command = [sys.executable, "-m", f"tinker_cookbook.recipes.{module}"]
    done = subprocess.run(
        [*command, *(f"{name}={value}" for name, value in given.items())],
        env={**os.environ, "TINKER_API_KEY": "tml-a-test", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return told(log)


def told(log: Path) -> list[dict[str, float]]:
    lines = (log / "metrics.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def conversations(file: Path) -> Path:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Hi {n % 4}"},
                {"role": "assistant", "content": f"Pizza {n % 4}, at once."},
            ]
        }
        for n in range(64)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file


@pytest.mark.parametrize(
    ("module", "data"),
    [("chat_sl.train", "dataset"), ("prompt_distillation.train", "file_path")],
)
def test_supervised_recipes_learn_what_is_said(
    module: str, data: str, url: str, tiny: Path, tmp_path: Path
) -> None:
    """The likelihood of answers in a JSONL file, and checkpoints on the way."""
    given = {
        data: conversations(tmp_path / "rows.jsonl"),
        "model_name": tiny,
        "renderer_name": RENDERER,
        "learning_rate": 0.01,
        "lora_rank": 8,
        "batch_size": 8,
        "num_epochs": 2,
        "save_every": 8,
        "eval_every": 0,
    }
    steps = recipe(module, url, tmp_path / "log", **given)
    losses = [step["train_mean_nll"] for step in steps if "train_mean_nll" in step]
    assert len(losses) == 16
    assert mean(losses[-3:]) < 0.5 * losses[0]
    saved = (tmp_path / "log" / "checkpoints.jsonl").read_text("utf-8").splitlines()
    assert all("tinker://" in line for line in saved)
    assert len(saved) >= 2


def test_the_preference_trainer_learns_local_comparisons(
    url: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DPO, whose loss the client computes of log-probabilities and sends as weights."""
    from tinker_cookbook.preference import train_dpo
    from tinker_cookbook.preference.dpo_datasets import DPODatasetBuilderFromComparisons
    from tinker_cookbook.preference.preference_datasets import ComparisonBuilderFromJsonl
    from tinker_cookbook.supervised.types import ChatDatasetBuilderCommonConfig

    monkeypatch.setenv("TINKER_API_KEY", "tml-a-test")
    file = tmp_path / "comparisons.jsonl"
    rows = [
        {
            "comparison": {
                "prompt_conversation": [{"role": "user", "content": f"Open on {n % 4}?"}],
                "completion_A": [{"role": "assistant", "content": "Yes, gladly."}],
                "completion_B": [{"role": "assistant", "content": "Go away."}],
            },
            "label": "A",
        }
        for n in range(64)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    common = ChatDatasetBuilderCommonConfig(
        model_name_for_tokenizer=str(tiny), renderer_name=RENDERER, max_length=512, batch_size=8
    )
    train_dpo.main(
        train_dpo.Config(
            log_path=str(tmp_path / "log"),
            model_name=str(tiny),
            recipe_name="comparisons",
            renderer_name=RENDERER,
            dataset_builder=DPODatasetBuilderFromComparisons(
                common_config=common,
                comparison_builder=ComparisonBuilderFromJsonl(train_path=str(file)),
            ),
            learning_rate=1e-3,
            lora_rank=8,
            base_url=url,
            eval_every=0,
            save_every=0,
        )
    )
    steps = [step for step in told(tmp_path / "log") if "dpo_loss" in step]
    assert steps[0]["dpo_loss"] == pytest.approx(0.6931, abs=1e-3)
    assert steps[-1]["dpo_loss"] < 0.5 * steps[0]["dpo_loss"]
    assert steps[-1]["accuracy"] == 1.0


def test_the_reward_of_sums_rises(tmp_path: Path) -> None:
    """For a model of 135 million parameters, that begins as it was published.

    In ten steps it learns to end its answers in time, which is a part of the reward; right sums
    take it longer.
    """
    pytest.importorskip("customize_smollm2")
    model = customize.resolve("smollm2").path
    with listening(model, tmp_path / "kept") as url:
        steps = recipe(
            "math_rl.train",
            url,
            tmp_path / "log",
            model_name=model,
            renderer_name="qwen3_instruct",  # this model's template is ChatML as well
            loss_fn="importance_sampling",
            learning_rate=5e-4,
            lora_rank=16,
            group_size=8,
            groups_per_batch=8,
            max_tokens=8,
            max_steps=10,
            eval_every=0,
            save_every=0,
        )
    played = [step for step in steps if "env/all/reward/total" in step]
    rewards, formats = (
        [step[f"env/all/{what}"] for step in played] for what in ("reward/total", "format")
    )
    assert len(rewards) == 10
    assert mean(rewards[-5:]) > rewards[0] + 0.05
    assert mean(formats[-5:]) > 0.9 > formats[0]
