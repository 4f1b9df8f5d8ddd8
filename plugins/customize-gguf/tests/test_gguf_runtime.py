"""llama.cpp itself: exported files answer there as the model does in transformers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from exporting import adapter, base, package, source

from customize import ExportError, MissingDependency, Query, Sampling
from customize_gguf.exporter import GGUF
from customize_gguf.runtime import LlamaCpp

pytest.importorskip("xllamacpp")
TOKENS = np.arange(1, 24, dtype=np.int32) * 7 % 260
GREEDY = Sampling(max_tokens=8, temperature=0.0, stop_tokens=())


def logprobs_of(folder: Path, updates: Path | None = None) -> Any:
    """What transformers says of TOKENS, with PEFT's adapter where one is given: [T, V]."""
    load: Any = transformers.AutoModelForCausalLM
    model = load.from_pretrained(folder)
    if updates is not None:
        peft = pytest.importorskip("peft")
        model = peft.PeftModel.from_pretrained(model, str(updates))
    with torch.no_grad():
        logits_TV = model(torch.tensor(TOKENS[None].astype(np.int64))).logits[0]
    return logits_TV.double().log_softmax(-1).numpy()


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_llama_cpp_computes_what_transformers_does(family: str, tmp_path: Path) -> None:
    model = base(family, tmp_path)
    runtime = LlamaCpp.open(package(source(model), tmp_path / "out", dtype="f32"))
    found = runtime.logprobs(TOKENS, 1)
    runtime.close()
    assert found.shape == (22, 265)
    assert np.abs(np.exp(found).sum(1) - 1).max() < 1e-5
    assert np.abs(found - logprobs_of(model)[:-1]).max() < 1e-4


def test_stretched_positions_of_llama_3_are_computed_too(tmp_path: Path) -> None:
    model = base("llama", tmp_path)
    plain = logprobs_of(model)
    scaled = {
        "rope_type": "llama3",
        "rope_theta": 50_000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    }
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "rope_parameters": scaled}))
    runtime = LlamaCpp.open(package(source(model), tmp_path / "out", dtype="f32"))
    found = runtime.logprobs(TOKENS, 1)
    runtime.close()
    assert np.abs(found - logprobs_of(model)[:-1]).max() < 1e-4
    assert np.abs(found - plain[:-1]).max() > 1e-2


def test_each_query_has_the_adapter_it_asks_for(tmp_path: Path) -> None:
    model = base("llama", tmp_path)
    one, two = adapter(model, tmp_path / "one"), adapter(model, tmp_path / "two", seed=2)
    first = package(source(model, one), tmp_path / "first", dtype="f32")
    second = package(source(model, two), tmp_path / "second", dtype="f32", base=False)
    runtime = LlamaCpp.open(first, {"other": second})
    assert runtime.adapters == ("tiny", "other")
    wanted = {None: logprobs_of(model), "tiny": logprobs_of(model, one)}
    wanted["other"] = logprobs_of(model, two)
    for name in ("tiny", "other", None, "tiny"):
        found = runtime.logprobs(TOKENS, 20, name)
        assert np.abs(found - wanted[name][19:-1]).max() < 1e-3, name
    runtime.close()
    alone = LlamaCpp.open(second, base=model)
    assert np.abs(alone.logprobs(TOKENS, 20, "tiny") - wanted["other"][19:-1]).max() < 1e-3
    alone.close()


def test_queries_at_once_answer_as_each_alone(tmp_path: Path) -> None:
    runtime = LlamaCpp.open(package(source(base("llama", tmp_path)), tmp_path / "out", dtype="f32"))
    samplings = [GREEDY, Sampling(max_tokens=8, top_k=3), Sampling(max_tokens=8), GREEDY] * 2
    queries = [
        Query(TOKENS[: 3 + number], sampling, seed=number, top_logprobs=2)
        for number, sampling in enumerate(samplings)
    ]
    alone = [[said.token for said in runtime.stream(query)] for query in queries]
    together: dict[int, list[int]] = {}

    def answer(number: int) -> None:
        together[number] = [said.token for said in runtime.stream(queries[number])]

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(len(queries))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runtime.close()
    assert [together[number] for number in range(len(queries))] == alone
    assert len({tuple(tokens) for tokens in alone}) > 2


def test_what_is_said_of_a_token_is_its_own_logprob(tmp_path: Path) -> None:
    runtime = LlamaCpp.open(package(source(base("llama", tmp_path)), tmp_path / "out", dtype="f32"))
    for sampling in (GREEDY, Sampling(max_tokens=5, temperature=2.0)):
        said = list(runtime.stream(Query(TOKENS, sampling, top_logprobs=3)))
        both = np.concatenate([TOKENS, [one.token for one in said]]).astype(np.int32)
        full_TV = runtime.logprobs(both, len(TOKENS))
        for one, row_V in zip(said, full_TV, strict=True):
            assert one.logprob == pytest.approx(row_V[one.token], abs=1e-5)
            assert [token for token, _ in one.top] == np.argsort(-row_V)[:3].tolist()
    runtime.close()


def test_a_cancelled_query_and_a_closed_one_free_their_slots(tmp_path: Path) -> None:
    runtime = LlamaCpp.open(package(source(base("llama", tmp_path)), tmp_path / "out", dtype="f32"))
    for _ in range(2 * runtime.slots):
        stream = runtime.stream(Query(TOKENS, Sampling(max_tokens=100, temperature=0.0)))
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        cancelled = threading.Event()
        asked = runtime.stream(Query(TOKENS, Sampling(max_tokens=100)), cancelled)
        next(asked)
        cancelled.set()
        assert list(asked) == []
    runtime.close()


@pytest.mark.parametrize("pre", ["smollm", "gpt-2", "llama-bpe", "qwen2"])
def test_llama_cpps_own_prompt_is_the_renderers(pre: str, tmp_path: Path) -> None:
    model = base("llama", tmp_path, pre)
    runtime = LlamaCpp.open(package(source(model), tmp_path / "out"))
    for text in ("hello  hello\n\n\ta 12 1234", " café 日本 🍕 [1, 2,\n\n 3]\r\n", "it's we'LL"):
        messages = [{"role": "user", "content": text}]
        wanted = runtime.renderer.prompt(messages)
        assert runtime.own_prompt(messages).tolist() == wanted.tolist()
    runtime.close()


def test_what_llama_cpp_and_ollama_end_at_is_read_in_their_files(tmp_path: Path) -> None:
    model = base("llama", tmp_path, said={"tokenizer.ggml.eot_token_id": 1})
    out = package(source(model, adapter(model, tmp_path / "lora")), tmp_path / "out")
    runtime = LlamaCpp.open(out)
    both = {"model.gguf": frozenset({0, 1}), "Modelfile": frozenset({0, 1})}
    assert runtime.own_stops() == both
    assert {*runtime.renderer.stop_tokens} == {0, 1}
    text = (out / "Modelfile").read_text("utf-8")
    (out / "Modelfile").write_text(text.replace('PARAMETER stop "<|start|>"\n', ""), "utf-8")
    assert runtime.own_stops() == {**both, "Modelfile": frozenset({0})}
    (out / "Modelfile").write_text(f'{text}PARAMETER stop "no token"\n', "utf-8")
    with pytest.raises(ExportError, match="Modelfile ends answers at 'no token'"):
        runtime.own_stops()
    runtime.close()


def test_one_that_is_closed_unasked_ends_and_takes_what_the_exporter_says(tmp_path: Path) -> None:
    model = base("llama", tmp_path)
    config = json.loads((model / "config.json").read_text())
    config = {**config, "max_position_embeddings": 32_768}
    (model / "config.json").write_text(json.dumps(config))
    folder = package(source(model), tmp_path / "out", dtype="f32")
    code = f"""
from pathlib import Path
from customize_gguf.runtime import LlamaCpp
for _ in range(30):
    runtime = LlamaCpp.open(Path({str(folder)!r}))
    runtime.close()
print(runtime.context)
"""
    asked = [sys.executable, "-c", code]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) == GGUF().most_context == 4096


def test_what_cannot_be_opened_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = base("llama", tmp_path)
    merged = package(source(model), tmp_path / "merged")
    with pytest.raises(ExportError, match=r"merged has no adapter\.gguf"):
        LlamaCpp.open(merged, {"other": merged})
    (merged / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(ExportError, match="damaged"):
        LlamaCpp.open(merged)
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(MissingDependency, match=r"pip install 'customize-gguf\[llama-cpp\]'"):
        LlamaCpp.open(package(source(model), tmp_path / "other"))
