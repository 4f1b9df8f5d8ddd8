"""A recipe is the same on the processor in process and through a server, whatever its method."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

pytest.importorskip("customize_torch")

from safetensors.numpy import load_file

import customize
from customize import ModelFolder
from customize.testing.tiny_model import write_tiny_model
from customize_tinker import worker
from customize_tinker.server import Where, make_app, make_server
from customize_torch.backend import CPU

HERE: dict[str, Any] = {"dtype": "float32", "threads": 1}
# Rounding, as sums go in another order there. Adam divides by a gradient's own size: where that is
# nearly 0 rounding is a part of the step, which lr bounds.
OF_LOSSES, OF_WEIGHTS = 1e-6, 1e-6


@attrs.frozen
class Case:
    """A method, its data and its options."""

    method: str
    data: Any
    options: dict[str, Any]
    reward: Any = None


def evenness(completion: str) -> float:
    """Of the characters: a reward that nearly every completion differs in."""
    return sum(ord(letter) % 2 for letter in completion) / 8


def said(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


CHATS = [{"messages": said(f"Hi {n}", "Ho, ho.")} for n in range(4)]
PAIRS = [
    {
        "prompt": [{"role": "user", "content": f"Open on day {n}?"}],
        "chosen": [{"role": "assistant", "content": f"Yes, until {n}."}],
        "rejected": [{"role": "assistant", "content": "Go away."}],
    }
    for n in range(4)
]
PROMPTS = [{"messages": [{"role": "user", "content": f"Say {n}"}]} for n in range(4)]
DOCUMENTS = [
    {"id": "hall", "title": "Hall", "text": "# Hall\n\nThe doors open at 7:40 am.\n"},
    {"id": "shop", "title": "Shop", "text": "# Shop\n\nA new strap costs $23.80.\n"},
    {"id": "camp", "title": "Camp", "text": "# Camp\n\nThe gate shuts at 11:45 pm.\n"},
    {"id": "pool", "title": "Pool", "text": "# Pool\n\nA towel costs $4.10 a day.\n"},
]
QUESTIONS = [
    {"question": "When does the hall open?", "answer": "7:40 am", "document": "hall"},
    {"question": "What is a new strap at the shop?", "answer": "$23.80", "document": "shop"},
    {"question": "When does the gate of the camp shut?", "answer": "11:45 pm", "document": "camp"},
    {"question": "What does a towel cost at the pool?", "answer": "$4.10", "document": "pool"},
]
STEPS: dict[str, Any] = {"steps": 3, "batch_size": 2, "lr": 1e-3}
POLICY: dict[str, Any] = {**STEPS, "group_size": 4, "max_tokens": 8}
LATER = {"kl": 0.05, "updates": 2, "temperature": 0.8, "behaviour": "sampler"}
CASES = {
    "sft": Case("sft", CHATS, STEPS),
    "sft with replay": Case("sft", CHATS, {**STEPS, "replay": 0.5}),
    "dpo": Case("dpo", PAIRS, STEPS),
    "simpo": Case("dpo", PAIRS, {**STEPS, "loss": "simpo", "beta": 2.0, "gamma": 0.5}),
    "grpo": Case("grpo", PROMPTS, POLICY, evenness),
    "grpo of several updates": Case("grpo", PROMPTS, {**POLICY, **LATER}, evenness),
    "rag": Case("rag", DOCUMENTS, {**STEPS, "replay": 0.25}),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def url(model: ModelFolder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server in this process, which listens.

    It waits for all prompts that were sent at once, as it does on a machine that is not busy: sums
    of another batch go in another order, and Adam makes steps of that rounding.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = Where(port=port)
    server = make_server(
        make_app(CPU(**HERE), model, tmp_path_factory.mktemp("kept") / "kept", where), where
    )
    thread = threading.Thread(target=server.run)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(worker, "_GATHER_S", 0.3)
        thread.start()
        try:
            while not server.started:
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.mark.parametrize("name", CASES)
def test_a_recipe_is_the_same_here_and_through_a_server(
    name: str, url: str, model: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses and all else that the steps tell, and the adapter that comes of them."""
    case = CASES[name]
    pytest.importorskip(f"customize_{case.method}")
    monkeypatch.setenv("TINKER_API_KEY", "tml-a-test")
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    here = trained(case, model, tmp_path / "here", "cpu", HERE)
    there = trained(case, model, tmp_path / "there", "tinker", {"url": url})
    assert len({step["loss"] for step in here}) > 1
    for ours, theirs in zip(here, there, strict=True):
        assert theirs["loss"] == pytest.approx(ours["loss"], abs=OF_LOSSES)
        assert theirs == pytest.approx(ours, abs=OF_LOSSES, rel=1e-5)
    made_here, made_there = (adapter(tmp_path / place) for place in ("here", "there"))
    assert made_there.keys() == made_here.keys()
    for key, values in made_here.items():
        np.testing.assert_allclose(made_there[key], values, atol=OF_WEIGHTS)


def trained(
    case: Case, model: ModelFolder, to: Path, backend: str, options: dict[str, Any]
) -> list[dict[str, float]]:
    """What each step told, but for how long it took."""
    more: dict[str, Any] = {} if case.reward is None else {"reward": case.reward}
    method_options = dict(case.options)
    if case.method == "rag":
        questions = to.with_name("questions.jsonl")
        questions.write_text("".join(json.dumps(one) + "\n" for one in QUESTIONS), "utf-8")
        method_options["questions"] = str(questions)
    run = customize.train(
        model=str(model.path),
        data=case.data,
        method=case.method,
        to=str(to),
        backend=backend,
        backend_options=options,
        options=method_options,
        **more,
    )
    return [{k: v for k, v in step.items() if not k.endswith("_s")} for step in run.metrics]


def adapter(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = load_file(next(run.rglob("adapter/adapter_model.safetensors")))
    return found
