"""Every family against transformers' own forward pass, in float32.

Shape legend: R rows, S tokens, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tiny_decoders import KINDS, adapted, export, plain, write_adapter, write_model

from customize import ModelFolder, Query, Sampling
from customize_onnx import Generator
from customize_onnx.cache import Cache
from customize_onnx.program import Program

pytestmark = pytest.mark.slow

LENGTHS = (3, 17, 1, 30)
GREEDY = Sampling(max_tokens=8, temperature=0.0, stop_tokens=())


def rows() -> list[npt.NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    return [rng.integers(1, 250, length) for length in LENGTHS]


def logits_of(model: Any, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    with torch.no_grad():
        found: npt.NDArray[np.float32] = model(torch.from_numpy(tokens)[None]).logits[0].numpy()
    return found


@pytest.fixture(scope="module", params=list(KINDS))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return write_model(tmp_path_factory.mktemp("model"), request.param)


@pytest.fixture(scope="module")
def package(model: ModelFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(model, tmp_path_factory.mktemp("package") / "out", weights="float32")


def test_rows_of_unequal_lengths_have_the_logits_of_transformers(
    model: ModelFolder, package: Path
) -> None:
    program, reference = Program(package / "model.onnx", {}, threads=1), plain(model)
    given = rows()
    tokens_RS = np.zeros((len(given), max(LENGTHS)), np.int64)
    for row, tokens in zip(tokens_RS, given, strict=True):
        row[: len(tokens)] = tokens
    found_RSV = prompts(program, tokens_RS)
    for found_SV, tokens in zip(found_RSV, given, strict=True):
        wanted_SV = logits_of(reference, tokens)
        np.testing.assert_allclose(found_SV[: len(tokens)], wanted_SV, rtol=0, atol=1e-4)


def prompts(program: Program, tokens_RS: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """The logits of several prompts at once, filled up on the right: causal, so of no weight."""
    one = program.empty()
    nothing = [part.numpy().repeat(len(tokens_RS), 0) for part in one.parts]
    ort = type(one.parts[0])
    parts = tuple(ort.ortvalue_from_numpy(part) for part in nothing)
    cache = Cache(np.zeros(len(tokens_RS), np.int64), parts)
    return program.run(tokens_RS, cache, 0, None)[0]


def test_a_graph_gives_the_same_logits_without_its_inputs_for_adapters(package: Path) -> None:
    check_both_graphs(package)


@pytest.mark.parametrize("weights", ["float16", "int8", "int4"])
def test_a_merged_graph_gives_them_with_weights_of_fewer_bits(weights: str, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", "llama", "bfloat16")
    folder = write_adapter(tmp_path / "peft", model, seed=1, rank=2)
    check_both_graphs(export(model, tmp_path / "out", folder, merged=True, weights=weights))


def check_both_graphs(package: Path) -> None:
    tokens_RS = np.random.default_rng(1).integers(1, 250, (2, 9))
    with_inputs, without = (
        prompts(Program(package / name, {}, threads=1), tokens_RS)
        for name in ("model.onnx", "plain.onnx")
    )
    np.testing.assert_array_equal(without, with_inputs)


def test_answers_given_together_are_the_likeliest_of_transformers(
    model: ModelFolder, package: Path
) -> None:
    generator, reference = Generator(package, threads=1), plain(model)
    under_way = generator.together([Query(tokens, GREEDY) for tokens in rows()])
    for tokens, answer in zip(rows(), under_way, strict=True):
        said = [*answer]
        whole = np.concatenate([tokens, [one.token for one in said]])
        logits = torch.from_numpy(logits_of(reference, whole[:-1])[len(tokens) - 1 :])
        logprobs = logits.log_softmax(-1).numpy()
        drawn = logprobs[np.arange(len(said)), whole[len(tokens) :]]
        assert (logprobs.max(-1) - drawn).max() < 1e-4
        np.testing.assert_allclose([one.logprob for one in said], drawn, atol=1e-4)
        found = generator.logprobs(whole, len(tokens))
        np.testing.assert_allclose(found, logprobs, atol=1e-4)
    generator.close()


def test_two_adapters_beside_the_base_and_one_merged_answer_as_peft(
    model: ModelFolder, tmp_path: Path
) -> None:
    folders = {
        "a": write_adapter(tmp_path / "peft_a", model, seed=1, rank=3),
        "b": write_adapter(tmp_path / "peft_b", model, seed=2, rank=5, use_rslora=True),
    }
    packages = {
        name: export(model, tmp_path / name, folder, name, weights="float32")
        for name, folder in folders.items()
    }
    generator = Generator(packages["a"], {"b": packages["b"]}, threads=1)
    assert generator.adapters == ("a", "b")
    merged = export(model, tmp_path / "merged", folders["a"], merged=True, weights="float32")
    beside = Generator(merged, threads=1)
    assert beside.adapters == ()
    tokens = rows()[3]
    base = logits_of(plain(model), tokens)
    for name, found in (
        ("a", generator.logprobs(tokens, 1, "a")),
        ("b", generator.logprobs(tokens, 1, "b")),
        ("a", beside.logprobs(tokens, 1)),
    ):
        wanted = logits_of(adapted(model, folders[name]), tokens)[:-1]
        assert np.abs(wanted - base[:-1]).max() > 0.5
        wanted = torch.from_numpy(wanted).log_softmax(-1).numpy()
        np.testing.assert_allclose(found, wanted, atol=2e-4)
    wanted = torch.from_numpy(base[:-1]).log_softmax(-1).numpy()
    np.testing.assert_allclose(generator.logprobs(tokens, 1), wanted, atol=1e-4)
    generator.close()
    beside.close()


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("on", [["k_proj", "up_proj"], ["q_proj", "v_proj", "gate_proj"]], ids=str)
def test_an_adapter_of_some_of_the_layers_that_are_computed_together_answers_as_peft(
    on: list[str], merged: bool, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "model", "llama", "bfloat16")
    folder = write_adapter(tmp_path / "peft", model, seed=3, rank=2, on=on)
    generator = Generator(export(model, tmp_path / "out", folder, merged=merged), threads=1)
    tokens = rows()[3]
    wanted = torch.from_numpy(logits_of(adapted(model, folder), tokens)[:-1]).log_softmax(-1)
    plainly = torch.from_numpy(logits_of(plain(model), tokens)[:-1]).log_softmax(-1)
    found = generator.logprobs(tokens, 1, None if merged else "a")
    generator.close()
    # What is merged is kept in 16 bits anew.
    away = 0.05 if merged else 1e-4
    assert (wanted - plainly).abs().max() > 10 * away
    np.testing.assert_allclose(found, wanted.numpy(), atol=away)
