"""Recipes of the official client's cookbook, unmodified and offline, train here and improve.

What each of them learnt is written to the folder ``COOKBOOK_REPORT`` names, of which the page of
the docs is made.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from math import comb
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
CHATML = "qwen3_instruct"  # SmolLM2's template is ChatML as well
TAUGHT, REWARDED, BATCH = 24, 12, 64  # steps of each recipe, and what a step sees
HELD_OUT = 256  # sums, of a batch that no run comes to


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_API_KEY", "tml-a-test")


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
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return lines(log / "metrics.jsonl")


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def rows_of(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file


def chat(question: str, answer: str) -> dict[str, Any]:
    roles = (("user", question), ("assistant", answer))
    return {"messages": [{"role": role, "content": text} for role, text in roles]}


def tell(name: str, of: str, measured: str, before: str, after: str) -> None:
    """For the page of the docs. of: the model."""
    if folder := os.environ.get("COOKBOOK_REPORT"):
        versions = {"cookbook": version("tinker-cookbook"), "client": version("tinker")}
        figures = {"model": of, "measured": measured, "before": before, "after": after}
        told = {"recipe": name, **versions, **figures}
        Path(folder, f"{name}.json").write_text(json.dumps(told, indent=1) + "\n", "utf-8")


@pytest.mark.parametrize(
    ("name", "data"), [("chat_sl", "dataset"), ("prompt_distillation", "file_path")]
)
def test_supervised_recipes_learn_what_is_said(
    name: str, data: str, url: str, tiny: Path, tmp_path: Path
) -> None:
    """The likelihood of answers in a JSONL file, and checkpoints on the way."""
    rows = [chat(f"Hi {n % 4}", f"Pizza {n % 4}, at once.") for n in range(64)]
    given = {
        data: rows_of(tmp_path / "rows.jsonl", rows),
        "model_name": tiny,
        "renderer_name": RENDERER,
        "learning_rate": 0.01,
        "lora_rank": 8,
        "batch_size": 8,
        "num_epochs": 2,
        "save_every": 8,
        "eval_every": 0,
    }
    steps = recipe(f"{name}.train", url, tmp_path / "log", **given)
    losses = [step["train_mean_nll"] for step in steps if "train_mean_nll" in step]
    assert len(losses) == 16
    assert mean(losses[-3:]) < 0.5 * losses[0]
    saved = (tmp_path / "log" / "checkpoints.jsonl").read_text("utf-8").splitlines()
    assert all("tinker://" in line for line in saved)
    assert len(saved) >= 2
    figures = f"{losses[0]:.2f}", f"{mean(losses[-3:]):.2f}"
    tell(name, "a tiny one", "nats a token of answers in a JSONL file", *figures)


def test_the_preference_trainer_learns_local_comparisons(
    url: str, tiny: Path, tmp_path: Path
) -> None:
    """DPO, whose loss the client computes of log-probabilities and sends as weights."""
    from tinker_cookbook.preference import train_dpo
    from tinker_cookbook.preference.dpo_datasets import DPODatasetBuilderFromComparisons
    from tinker_cookbook.preference.preference_datasets import ComparisonBuilderFromJsonl
    from tinker_cookbook.supervised.types import ChatDatasetBuilderCommonConfig

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
    file = rows_of(tmp_path / "comparisons.jsonl", rows)
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
    steps = [step for step in lines(tmp_path / "log" / "metrics.jsonl") if "dpo_loss" in step]
    assert steps[0]["dpo_loss"] == pytest.approx(0.6931, abs=1e-3)
    assert steps[-1]["dpo_loss"] < 0.5 * steps[0]["dpo_loss"]
    assert steps[-1]["accuracy"] == 1.0
    figures = f"{steps[0]['dpo_loss']:.2f}", f"{steps[-1]['dpo_loss']:.2f}"
    tell("preference", "a tiny one", "DPO's loss on local comparisons", *figures)


def test_right_sums_become_more_by_reward(tmp_path: Path) -> None:
    """Of a model of 135 million parameters, which hardly does any as it was published.

    So ``chat_sl`` teaches it some first, and ``math_rl`` begins at the checkpoint of that. Sums
    are held out of the first, and too many for the second to have drawn them; each is asked with
    one seed before and after, and the recipe's own environment judges the answer. What the recipe
    draws has no seed, so runs differ: no number is asked for, but that it is not chance.
    """
    pytest.importorskip("customize_smollm2")
    model = customize.resolve("smollm2").path
    given = {"model_name": model, "renderer_name": CHATML, "eval_every": 0, "save_every": 0}
    asked = held_out(model)
    with listening(model, tmp_path / "kept") as url:
        recipe(
            "chat_sl.train",
            url,
            tmp_path / "taught",
            dataset=rows_of(tmp_path / "sums.jsonl", taught_sums({(e.x, e.y) for e in asked})),
            learning_rate=1e-3,
            lora_rank=32,
            batch_size=BATCH,
            **given,
        )
        (taught,) = lines(tmp_path / "taught" / "checkpoints.jsonl")
        recipe(
            "math_rl.train",
            url,
            tmp_path / "rewarded",
            load_checkpoint_path=taught["state_path"],
            loss_fn="importance_sampling",
            learning_rate=3e-4,
            group_size=8,
            groups_per_batch=BATCH // 8,
            max_tokens=8,
            max_steps=REWARDED,
            **given,
        )
        (rewarded,) = lines(tmp_path / "rewarded" / "checkpoints.jsonl")
        published = asyncio.run(right(asked, url, base_model=str(model)))
        before, after = (
            asyncio.run(right(asked, url, model_path=run["sampler_path"]))
            for run in (taught, rewarded)
        )
    assert sum(published) < 0.1 * HELD_OUT
    changes = [now - then for then, now in zip(before, after, strict=True)]
    assert chance(changes.count(1), changes.count(-1)) < 0.001
    figures = (f"{sum(found):.0f} of {HELD_OUT}" for found in (before, after))
    measured = f"right sums, held out; {sum(published):.0f} as it was published"
    tell("math_rl", "SmolLM2 135M, after chat_sl", measured, *figures)


def held_out(model: Path) -> list[Any]:
    """Environments of math_rl that ask sums."""
    from tinker_cookbook import renderers
    from tinker_cookbook.recipes.math_rl.arithmetic_env import ArithmeticDataset
    from tinker_cookbook.tokenizer_utils import get_tokenizer

    renderer = renderers.get_renderer(CHATML, tokenizer=get_tokenizer(str(model)))
    groups = ArithmeticDataset(HELD_OUT, renderer, group_size=1).get_batch(1000)
    return [env for group in groups for env in asyncio.run(group.make_envs())]


def taught_sums(but: set[tuple[int, int]]) -> list[dict[str, Any]]:
    every = [(x, y) for x in range(101) for y in range(101) if (x, y) not in but]
    some = random.Random(0).sample(every, TAUGHT * BATCH)
    return [chat(f"What is {x} + {y}?", str(x + y)) for x, y in some]


async def right(envs: list[Any], url: str, **of: str) -> list[float]:
    """Whether each environment calls the answer correct. of: base_model or model_path."""
    import tinker

    service = tinker.ServiceClient(base_url=url)
    sampler = await service.create_sampling_client(**of)

    async def one(number: int, env: Any) -> float:
        prompt, stop = await env.initial_observation()
        params = tinker.SamplingParams(max_tokens=8, seed=number, stop=stop)
        said = await sampler.sample(prompt, num_samples=1, sampling_params=params)
        judged = await env.step(said.sequences[0].tokens)
        return float(judged.metrics["correct"])

    return await asyncio.gather(*(one(*pair) for pair in enumerate(envs)))


def chance(gained: int, lost: int) -> float:
    """That as many of the changes or more are gains where each is as likely a loss: exact."""
    changed = gained + lost
    return sum(comb(changed, n) for n in range(gained, changed + 1)) * 0.5**changed
