"""The same folder in onnxruntime-genai: its answers are ours, with and without the adapter."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_decoders import export, write_adapter, write_model

from customize import ChatRenderer, Exportable, Query, Sampling
from customize_onnx import Generator
from customize_onnx.exporter import ONNX

genai = pytest.importorskip("onnxruntime_genai")

PROMPT = np.random.default_rng(0).integers(1, 250, 21).astype(np.int32)
KINDS = ["llama", "qwen2", "qwen3", "mistral", "gemma", "gemma3_text", "phi3"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "weights"),
    [*((kind, "float32") for kind in KINDS), ("llama", "float16"), ("llama", "int8")],
)
def test_genai_answers_as_the_generator(kind: str, weights: str, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", kind)
    peft = write_adapter(tmp_path / "peft", model, seed=1, rank=4)
    package = export(model, tmp_path / "out", peft, "mine", weights=weights)
    generator = Generator(package, threads=1)
    sampling = Sampling(max_tokens=12, temperature=0.0, stop_tokens=())
    loaded = genai.Model(str(package))
    for adapter in (None, "mine"):
        said = generator.stream(Query(PROMPT, sampling, adapter=adapter))
        assert answer(loaded, package, adapter) == [one.token for one in said]
    generator.close()


def answer(model: object, package: Path, adapter: str | None) -> list[int]:
    parameters = genai.GeneratorParams(model)
    parameters.set_search_options(max_length=len(PROMPT) + 12, min_length=len(PROMPT) + 12)
    generator = genai.Generator(model, parameters)
    if adapter is not None:
        adapters = genai.Adapters(model)
        adapters.load(str(package / "adapters" / f"{adapter}.onnx_adapter"), adapter)
        generator.set_active_adapter(adapters, adapter)
    generator.append_tokens(PROMPT)
    while not generator.is_done():
        generator.generate_next_token()
    return [int(token) for token in generator.get_sequence(0)[len(PROMPT) :]]


@pytest.mark.slow
@pytest.mark.parametrize("merged", [False, True], ids=["apart", "merged"])
def test_what_a_package_says_of_how_it_is_run_there_prints_the_customized_answer(
    tmp_path: Path, merged: bool
) -> None:
    model = write_model(tmp_path / "model", "llama")
    peft = write_adapter(tmp_path / "peft", model, seed=1, rank=4)
    options: dict[str, Any] = {"weights": "float32", "merged": merged}
    package = export(model, tmp_path / "out", peft, "mine", **options)
    what = Exportable("mine", model, peft, ChatRenderer.from_folder(package))
    told = ONNX(**options).how_to_run(what)["onnxruntime-genai, in Python"]
    _, *asked = shlex.split(told.replace("{folder}", str(package)))
    done = subprocess.run([sys.executable, *asked], capture_output=True, text=True, check=True)
    generator = Generator(package, threads=1)
    assert readable(done.stdout)
    assert readable(done.stdout) == readable(said(generator, None if merged else "mine"))
    if not merged:
        assert readable(done.stdout) != readable(said(generator, None))
    generator.close()


def said(generator: Generator, adapter: str | None) -> str:
    hello = [{"role": "user", "content": "Hello"}]
    return generator.reply(hello, Sampling(max_tokens=64, temperature=0.0), adapter=adapter)


def readable(text: str) -> str:
    """Up to what is no text, of which each program makes what it will."""
    return text.strip().partition("\N{REPLACEMENT CHARACTER}")[0]
