"""Exported files: what they hold is what was trained, and what GGUF cannot say is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
import transformers
from exporting import CHAT, adapter, base, source, written
from safetensors.torch import load_file, save_file
from tiny_models import tensors, tiny_model

import customize
import customize_gguf
from customize import ChatRenderer, ExportError, MissingDependency
from customize_gguf._reader import GGUFFile, open_gguf
from customize_gguf.exporter import GGUF

FAMILIES = ["llama", "qwen2", "qwen3"]
HARD = [
    "hello  hello\n\n\ta 12 1234 ",
    "it's we'LL  I'm <|start|>a<|end|>",
    " café 日本 🍕 [1, 2,\n\n 3]\r\n",
    "👩‍👩‍👧‍👦 x\u200b\u00a0y ½ ٣٤",
]


def stored(file: GGUFFile) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {n: (t.type.name, t.shape, t.data.tobytes()) for n, t in file.tensors.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_file_is_what_llama_cpps_converter_writes(family: str, tmp_path: Path) -> None:
    model = base(family, tmp_path)
    out = written(source(model), tmp_path / "out", dtype="f32")
    with open_gguf(tmp_path / "base.gguf") as theirs, open_gguf(out / "model.gguf") as ours:
        assert stored(ours) == stored(theirs)
        for key, value in theirs.metadata.items():
            assert ours.metadata[key] == value, key


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_imported_again_is_bit_equal(family: str, tmp_path: Path) -> None:
    out = written(source(base(family, tmp_path)), tmp_path / "out", dtype="f32")
    again = load_file(
        customize_gguf.convert(out / "model.gguf", tmp_path / "again", "float32")
        / "model.safetensors"
    )
    original = tiny_model(family).state_dict()
    if family != "llama":
        del original["lm_head.weight"]  # tied
    assert again.keys() == original.keys()
    assert all(torch.equal(again[name], values) for name, values in original.items())


@pytest.mark.parametrize("pre", ["smollm", "gpt-2", "llama-bpe", "qwen2"])
def test_hard_text_has_the_same_tokens_after_a_round_trip(pre: str, tmp_path: Path) -> None:
    load: Any = transformers.AutoTokenizer.from_pretrained
    model = base("llama", tmp_path, pre)
    out = written(source(model), tmp_path / "out")
    again = load(customize_gguf.convert(out / "model.gguf", tmp_path / "again"))
    original = load(model)
    assert again.get_chat_template() == CHAT
    for text in HARD:
        assert again.encode(text) == original.encode(text)


def test_every_stop_token_and_every_kind_of_token_is_kept(tmp_path: Path) -> None:
    model = base("llama", tmp_path, said={"tokenizer.ggml.eot_token_id": 1})
    spec = json.loads((model / "tokenizer.json").read_text())
    spec["added_tokens"][1]["special"] = False  # <|start|>
    del spec["model"]["vocab"]["ĠĠ"], spec["model"]["merges"][-1]
    (model / "tokenizer.json").write_text(json.dumps(spec))
    out = written(source(model), tmp_path / "out")
    with open_gguf(out / "model.gguf") as file:
        said = file.metadata
        assert [said[f"tokenizer.ggml.{end}_token_id"] for end in ("eos", "eot")] == [0, 1]
        types, tokens = said["tokenizer.ggml.token_type"], said["tokenizer.ggml.tokens"]
        assert isinstance(types, list)
        assert isinstance(tokens, list)
        assert (types[0], types[1], types[2], types[-1]) == (3, 4, 1, 5)
        assert tokens[-1] == f"[PAD{len(tokens) - 1}]"


@pytest.mark.parametrize(
    ("dtype", "kinds"),
    [
        ("bf16", {"BF16": "BF16", "table": "BF16"}),
        ("q8_0", {"Q8_0": "Q8_0", "table": "Q8_0"}),
        ("q4_0", {"Q4_0": "Q4_0", "table": "Q8_0"}),
        ("q4_1", {"Q4_1": "Q4_1", "table": "Q8_0"}),
    ],
)
def test_each_tensor_is_stored_as_llama_cpp_stores_it(
    dtype: str, kinds: dict[str, str], tmp_path: Path
) -> None:
    out = written(source(base("llama", tmp_path)), tmp_path / "out", dtype=dtype)
    original = tensors("llama", tiny_model("llama"))
    with open_gguf(out / "model.gguf") as file:
        assert file.tensors["token_embd.weight"].type.name == kinds["table"]
        assert file.tensors["output.weight"].type.name == kinds["table"]
        assert file.tensors["blk.0.attn_norm.weight"].type.name == "F32"
        assert file.tensors["blk.0.attn_q.weight"].type.name == dtype.upper()
        uneven = "BF16" if dtype == "bf16" else "F16"  # rows of 48, blocks of 32
        assert file.tensors["blk.0.ffn_down.weight"].type.name == uneven
        for name, tensor in file.tensors.items():
            values = np.frombuffer(original[name][2], "<f4").reshape(tensor.shape)
            step = np.abs(values).max() / (7 if tensor.type.name.startswith("Q4") else 100)
            assert np.abs(tensor.dequantised() - values).max() <= step


def test_an_adapter_beside_its_base_is_the_adapter_merged(tmp_path: Path) -> None:
    """Merged, the importer reads it as W + s B A; beside, llama.cpp computes alpha / rank."""
    model = base("llama", tmp_path)
    lora = adapter(model, tmp_path / "lora")
    what = source(model, lora)
    merged = written(what, tmp_path / "merged", dtype="f32", merged=True)
    beside = written(what, tmp_path / "beside", dtype="f32")
    assert not (merged / "adapter.gguf").exists()
    plain = load_file(model / "model.safetensors")
    again = load_file(
        customize_gguf.convert(merged / "model.gguf", tmp_path / "again", "float32")
        / "model.safetensors"
    )
    factors = load_file(lora / "adapter_model.safetensors")
    for name, weight in plain.items():
        key = f"base_model.model.{name.removesuffix('.weight')}.lora_"
        if f"{key}A.weight" in factors:
            weight = weight + 3.0 / 2 * factors[f"{key}B.weight"] @ factors[f"{key}A.weight"]
        assert torch.allclose(again[name], weight, rtol=0, atol=1e-5), name
    with (
        open_gguf(merged / "model.gguf") as whole,
        open_gguf(beside / "model.gguf") as model_file,
        open_gguf(beside / "adapter.gguf") as adapter_file,
    ):
        said = adapter_file.metadata
        assert said["general.type"] == "adapter"
        assert said["adapter.type"] == "lora"
        factor = float(str(said["adapter.lora.alpha"])) / 2
        for name, tensor in whole.tensors.items():
            away = tensor.dequantised() - model_file.tensors[name].dequantised()
            factors = [adapter_file.tensors.get(f"{name}.lora_{part}") for part in "ba"]
            b, a = (one.dequantised() if one else np.zeros((1, 1)) for one in factors)
            assert np.allclose(away, factor * b @ a, rtol=0, atol=1e-5), name
        assert len(adapter_file.tensors) == 2 * 7 * 2


def test_rslora_divides_by_the_root_of_the_rank(tmp_path: Path) -> None:
    model = base("llama", tmp_path)
    what = source(model, adapter(model, tmp_path / "lora", rank=4, said={"use_rslora": True}))
    out = written(what, tmp_path / "out")
    with open_gguf(out / "adapter.gguf") as file:
        assert file.metadata["adapter.lora.alpha"] == 3.0 / 2 * 4


def test_whole_weights_are_written_instead_of_the_bases(tmp_path: Path) -> None:
    model = base("qwen3", tmp_path)
    (tmp_path / "trained").mkdir()
    trained = {n: t + 1 for n, t in load_file(model / "model.safetensors").items()}
    save_file(trained, tmp_path / "trained" / "model.safetensors")
    out = written(source(model, tmp_path / "trained"), tmp_path / "out", dtype="f32")
    again = customize_gguf.convert(out / "model.gguf", tmp_path / "again", "float32")
    for name, values in load_file(again / "model.safetensors").items():
        assert torch.equal(values, trained[name])


def changed(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize(
    ("file", "values", "named"),
    [
        ("config.json", {"model_type": "gemma3_text"}, "'gemma3_text'.*llama, qwen2, qwen3"),
        ("config.json", {"rope_scaling": {"rope_type": "yarn"}}, "'yarn'"),
        ("config.json", {"rope_scaling": {"rope_type": "llama3"}}, "'factor', which is needed"),
        ("config.json", {"attention_bias": True}, "attention_bias=True"),
        ("config.json", {"intermediate_size": 47}, "shape"),
        ("config.json", {"rms_norm_eps": "x"}, "rms_norm_eps"),
        ("tokenizer.json", {"pre_tokenizer": {"type": "Whitespace"}}, "cuts text.*smollm, gpt-2"),
        ("tokenizer.json", {"normalizer": {"type": "Lowercase"}}, "cuts text"),
        ("tokenizer_config.json", {"chat_template": None}, "chat template"),
        ("generation_config.json", {"eos_token_id": [0, 1, 2, 3]}, "room for 3 stop tokens"),
    ],
)
def test_a_model_that_gguf_cannot_say_is_refused_before_work(
    file: str, values: dict[str, object], named: str, tmp_path: Path
) -> None:
    model = base("llama", tmp_path)
    what = source(model)
    changed(model / file, **values)
    if file == "generation_config.json":
        what = attrs.evolve(what, renderer=ChatRenderer.from_folder(model))
    with pytest.raises(ExportError, match=named):
        GGUF().check(what)


def test_a_tokenizer_with_a_model_of_words_is_refused_by_name(tmp_path: Path) -> None:
    model = base("llama", tmp_path)
    what = source(model)
    spec = json.loads((model / "tokenizer.json").read_text())
    for change, named in (
        ({"model": spec["model"] | {"byte_fallback": True}}, "byte_fallback"),
        ({"model": spec["model"] | {"type": "WordPiece"}}, "WordPiece"),
        ({"added_tokens": [spec["added_tokens"][0] | {"lstrip": True}]}, "lstrip"),
    ):
        changed(model / "tokenizer.json", **{**spec, **change})
        with pytest.raises(ExportError, match=named):
            GGUF().check(what)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"alpha_pattern": {"q_proj": 1}}, "alpha_pattern"),
        ({"bias": "all"}, "bias='all'"),
    ],
)
def test_an_adapter_that_is_more_than_lora_is_refused(
    config: dict[str, object], named: str, tmp_path: Path
) -> None:
    model = base("llama", tmp_path)
    with pytest.raises(ExportError, match=named):
        GGUF().check(source(model, adapter(model, tmp_path / "lora", said=config)))


def test_an_adapter_alone_says_how_its_base_is_made(tmp_path: Path) -> None:
    model = base("llama", tmp_path)
    what = source(model, adapter(model, tmp_path / "lora"))
    [how] = GGUF(base=False, dtype="bf16").how_to_run(what).values()
    make, run = how.split(" && ")
    assert make == "convert_hf_to_gguf.py {base} --outtype bf16 --outfile base.gguf"
    assert run == "llama-server --jinja -m base.gguf --lora {folder}/adapter.gguf"


def test_without_llama_cpp_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = source(base("llama", tmp_path))
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(MissingDependency, match=r"pip install 'customize-gguf\[llama-cpp\]'"):
        GGUF().check(what)


def test_an_adapter_of_a_tied_head_is_refused(tmp_path: Path) -> None:
    model = base("qwen2", tmp_path)
    lora = adapter(model, tmp_path / "lora")
    more = load_file(lora / "adapter_model.safetensors")
    more["base_model.model.lm_head.lora_A.weight"] = torch.ones(2, 32)
    more["base_model.model.lm_head.lora_B.weight"] = torch.ones(265, 2)
    save_file(more, lora / "adapter_model.safetensors")
    with pytest.raises(ExportError, match="changes lm_head"):
        GGUF().check(source(model, lora))


def test_a_precision_that_is_not_offered_is_refused_with_those_that_are() -> None:
    with pytest.raises(customize.OptionError, match=r"f32.*q8_0.*q4_k.*q2_k"):
        GGUF(dtype="q2_k")


def test_values_that_16_bits_cannot_hold_are_refused(tmp_path: Path) -> None:
    model = base("llama", tmp_path)
    weights = load_file(model / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"][0, 0] = 1e6
    save_file(weights, model / "model.safetensors")
    with pytest.raises(ExportError, match=r"ffn_up.*f32 or bf16"):
        written(source(model), tmp_path / "out")
