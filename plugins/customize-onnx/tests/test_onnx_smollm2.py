"""SmolLM2-135M-Instruct for real: the same answers as transformers gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_decoders import export, plain

import customize
from customize import ModelFolder, Query, Sampling
from customize.packaging.parity import Limits
from customize_onnx import Generator

QUESTIONS = [
    "What is the capital of France?",
    "Write a haiku about rain.",
    "def fibonacci(n):",
    "List three primes.",
    "Who wrote Hamlet?",
    "Translate to French: good morning",
    "Café — 12.50 €? 日本語 🍕",
    "Explain gravity to a child.",
    "1 2 3 4",
    "Name a mammal that flies.",
    "Summarise: the cat sat on the mat.",
    "Why is the sky blue?",
]


@pytest.fixture(scope="module")
def model() -> ModelFolder:
    return customize.resolve("smollm2")


@pytest.mark.slow
def test_genais_own_tokenizer_reads_a_prompt_as_we_render_it(
    model: ModelFolder, tmp_path: Path
) -> None:
    genai = pytest.importorskip("onnxruntime_genai")
    package = export(model, tmp_path / "out")
    renderer = customize.ChatRenderer.from_folder(package)
    tokenizer = genai.Tokenizer(genai.Model(str(package)))
    for question in QUESTIONS:
        asked = [{"role": "user", "content": question}]
        tokens = renderer.prompt(asked)
        text = renderer.text_of(tokens)
        assert tokenizer.encode(text).tolist() == tokens.tolist()


@pytest.mark.slow
def test_int8_stays_near_its_own_probabilities_token_by_token(
    model: ModelFolder, tmp_path: Path
) -> None:
    """One token and many are computed by other kernels, which round activations otherwise."""
    generator = Generator(export(model, tmp_path / "out", weights="int8"), slots=1)
    prompt = generator.renderer.prompt([{"role": "user", "content": QUESTIONS[-1]}])
    greedy = Sampling(max_tokens=48, temperature=0.0, stop_tokens=())
    said = [one.token for one in generator.stream(Query(prompt, greedy))]
    whole = np.concatenate([prompt, np.asarray(said, np.int32)])
    logprobs_TV = generator.logprobs(whole, len(prompt))
    behind_T = logprobs_TV.max(-1) - logprobs_TV[np.arange(len(said)), said]
    generator.close()
    assert behind_T.max() <= Limits.of("int8").own_margin


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["float32", "float16"])
def test_twelve_answers_are_those_of_transformers(
    weights: str, model: ModelFolder, tmp_path: Path
) -> None:
    generator = Generator(export(model, tmp_path / "out", weights=weights), slots=4)
    prompts = [generator.renderer.prompt([{"role": "user", "content": q}]) for q in QUESTIONS]
    greedy = Sampling(max_tokens=12, temperature=0.0)
    under_way = generator.together([Query(prompt, greedy) for prompt in prompts])
    reference = plain(model)
    for prompt, answer in zip(prompts, under_way, strict=True):
        said = [one.token for one in answer]
        whole = torch.from_numpy(np.concatenate([prompt, said[:-1]])).long()
        with torch.no_grad():
            logits = reference(whole[None]).logits[0, len(prompt) - 1 :]
        assert said == logits.argmax(-1).tolist()
    generator.close()
