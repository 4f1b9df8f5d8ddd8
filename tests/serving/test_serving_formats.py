"""Packages of each format behind the real client: adapters of one base say what the engine says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from openai import OpenAI
from serving_asks import client_of

import customize
from customize import ChatRenderer, Exportable, Exporter, Manifest, ModelFolder, Prompt, Sampling
from customize.packaging.manifest import hashes_of
from customize.packaging.tokenizer import write_tokenizer
from customize.packaging.writing import format_of
from customize.runs.serving import offers_of
from customize.serving.address import Address
from customize.serving.limits import Limits
from customize.serving.server import Server
from customize.testing import write_tiny_model

torch_backend = pytest.importorskip("customize_torch.backend")

ASKED: Any = [{"role": "user", "content": "Do you deliver?"}]
NAMES = ("pizza", "sushi", "curry")
OPEN: Any = {
    "type": "object",
    "properties": {"open": {"type": "boolean"}, "day": {"enum": ["Mon", "Tue"]}},
    "required": ["open", "day"],
    "additionalProperties": False,
}


@attrs.frozen
class Customized:
    """One base, adapters of it by name, and what the engine says with each."""

    model: ModelFolder
    adapters: Mapping[str, Path]
    said: Mapping[str, str]


@pytest.fixture(scope="module")
def customized(tmp_path_factory: pytest.TempPathFactory) -> Customized:
    folder = tmp_path_factory.mktemp("customized")
    model = write_tiny_model(folder / "model")
    adapters = {name: adapter(model, folder / name, seed) for seed, name in enumerate(NAMES)}
    engine = torch_backend.CPU(dtype="float32").load(model)
    said = {name: greedy(engine.open(weights)) for name, weights in adapters.items()}
    assert len(set(said.values())) == len(NAMES)
    return Customized(model, adapters, said)


def adapter(model: ModelFolder, folder: Path, seed: int) -> Path:
    """A random LoRA on every linear layer, in PEFT's format."""
    from safetensors.numpy import load_file, save_file

    folder.mkdir()
    rng, tensors = np.random.default_rng(seed), {}
    for name, weight in load_file(model.path / "model.safetensors").items():
        if name.endswith("_proj.weight"):
            key = f"base_model.model.{name.removesuffix('.weight')}.lora_"
            tensors[f"{key}A.weight"] = rng.normal(0, 0.3, (2, weight.shape[1]))
            tensors[f"{key}B.weight"] = rng.normal(0, 0.3, (weight.shape[0], 2))
    kept = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
    save_file(kept, folder / "adapter_model.safetensors")
    layers = sorted({name.split(".")[-3] for name in kept})
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4.0, "target_modules": layers}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def greedy(session: customize.Session) -> str:
    sampling = Sampling(max_tokens=24, temperature=0.0)
    [[said]] = session.sample([Prompt(session.renderer.prompt(ASKED))], sampling).result()
    return session.renderer.decode(said.tokens).strip()


def package(source: Exportable, exporter: Exporter, to: Path) -> str:
    """What an export writes, without the proof, which tests of the formats make."""
    to.mkdir()
    exporter.check(source)
    exporter.write(source, to)
    write_tokenizer(source.model.path, to, source.renderer.stop_tokens)
    about: dict[str, Any] = {
        "format": format_of(exporter),
        "precision": exporter.precision,
        "name": source.name,
        "needs_base": exporter.needs_base(source),
        "base": {"name": "tiny", "fingerprint": source.model.fingerprint, "revision": None},
        "weights": source.name,
        "is_adapter": True,
        "stop_tokens": source.renderer.stop_tokens,
        **{key: {} for key in ("options", "parity", "how_to_run", "run")},
        "files": hashes_of(to),
    }
    Manifest(**about).write(to)
    return str(to)


@pytest.fixture(scope="module", params=["onnx", "gguf", "hf"])
def client(
    request: pytest.FixtureRequest,
    customized: Customized,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OpenAI]:
    """Of a server of three packages of the format."""
    if request.param == "onnx":
        exporter = pytest.importorskip("customize_onnx.exporter").ONNX(weights="float32")
    elif request.param == "hf":
        exporter = pytest.importorskip("customize_hf.exporter").HF()
    else:
        pytest.importorskip("xllamacpp")
        exporter = pytest.importorskip("customize_gguf.exporter").GGUF(dtype="f32")
    folder = tmp_path_factory.mktemp(request.param)
    renderer = ChatRenderer.from_folder(customized.model.path)
    sources = [
        package(Exportable(name, customized.model, weights, renderer), exporter, folder / name)
        for name, weights in customized.adapters.items()
    ]
    offers = offers_of(sources, torch_backend.CPU(dtype="float32"))  # which hf's are loaded by
    assert len({id(offer.runtime) for offer in offers}) == 1  # one base in memory
    with Server(offers, Limits(), Address.take(port=0)) as server, client_of(server) as made:
        yield made


def test_each_name_says_what_its_run_says_whole_and_streamed(
    client: OpenAI, customized: Customized
) -> None:
    assert [one.id for one in client.models.list()] == list(NAMES)
    for name in (*NAMES, *reversed(NAMES)):
        asked: Any = {"model": name, "messages": ASKED, "max_tokens": 24, "temperature": 0}
        reply = client.chat.completions.create(**asked)
        assert reply.choices[0].message.content == customized.said[name]
        chunks = client.chat.completions.create(**asked, stream=True)
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert streamed == customized.said[name]


def test_choices_are_drawn_by_the_seed_and_their_tokens_have_logprobs(client: OpenAI) -> None:
    asked: Any = {"model": "sushi", "messages": ASKED, "max_tokens": 8, "n": 3, "seed": 7}
    first, again = (
        client.chat.completions.create(**asked, logprobs=True, top_logprobs=2) for _ in range(2)
    )
    assert [c.message.content for c in first.choices] == [c.message.content for c in again.choices]
    assert len({choice.message.content for choice in first.choices}) == 3
    told = first.choices[0].logprobs
    assert told is not None
    assert all(one.logprob <= one.top_logprobs[0].logprob <= 0 for one in told.content or ())


def test_answers_fit_the_schema_that_is_asked_for(client: OpenAI) -> None:
    pytest.importorskip("llguidance")
    form: Any = {"type": "json_schema", "json_schema": {"name": "open", "schema": OPEN}}
    for name, temperature in zip(NAMES, (0, 1, 0.5), strict=True):
        reply = client.chat.completions.create(
            model=name, messages=ASKED, temperature=temperature, seed=1, response_format=form
        )
        told = json.loads(reply.choices[0].message.content or "")
        assert told.keys() == OPEN["properties"].keys()
        assert told["open"] in (True, False)
        assert told["day"] in ("Mon", "Tue")
