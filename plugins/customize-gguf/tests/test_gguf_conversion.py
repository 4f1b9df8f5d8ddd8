"""Conversion: what comes out answers as the model that went in, and nothing else is accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from gguf_writer import f32, write_gguf
from safetensors.torch import load_file
from tiny_models import MERGES, TOKENS, metadata, tensors, tiny_model

import customize
import customize_gguf
from customize_gguf._safetensors import round_to_bfloat16

HARD = [
    "hello  hello\n\n\ta 12 1234 ",
    "it's we'LL  I'm",
    " café 日本 🍕 [1, 2,\n\n 3]\r\n",
    "👩‍👩‍👧‍👦 x\u200b\u00a0y ½ ٣٤",
]


def converted(family: str, tmp_path: Path, dtype: str = "float32", pre: str = "smollm") -> Path:
    gguf = tmp_path / "m.gguf"
    write_gguf(gguf, metadata(family, pre), tensors(family, tiny_model(family)))
    return customize_gguf.convert(gguf, tmp_path / "out", dtype)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_a_converted_model_computes_what_the_original_does(family: str, tmp_path: Path) -> None:
    original = tiny_model(family)
    folder = converted(family, tmp_path)
    again = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokens = torch.arange(20)[None] * 7 % len(TOKENS)
    assert again.dtype == torch.float32
    assert torch.equal(again(tokens).logits, original(tokens).logits)


@pytest.mark.parametrize(
    ("licence", "card"),
    [
        ("mit", "---\nlicense: mit\n---\n\n# a b\n\nConverted from a GGUF file.\n"),
        ("a\nb: c", None),
    ],
)
def test_the_licence_stands_in_a_card_and_changes_nothing_of_the_model(
    licence: str, card: str | None, tmp_path: Path
) -> None:
    (tmp_path / "plain").mkdir()
    plain = converted("llama", tmp_path / "plain")
    gguf = tmp_path / "m.gguf"
    said = metadata("llama", "smollm") | {"general.license": licence, "general.name": "a\nb"}
    write_gguf(gguf, said, tensors("llama", tiny_model("llama")))
    folder = customize_gguf.convert(gguf, tmp_path / "out", "float32")
    readme = folder / "README.md"
    assert (readme.read_text("utf-8") if readme.is_file() else None) == card
    assert customize.resolve(folder).fingerprint == customize.resolve(plain).fingerprint


def test_float32_tensors_are_bit_equal_and_bfloat16_ones_rounded_as_torch_rounds(
    tmp_path: Path,
) -> None:
    original = tiny_model("llama").state_dict()
    (tmp_path / "b").mkdir()
    exact = load_file(converted("llama", tmp_path) / "model.safetensors")
    rounded = load_file(converted("llama", tmp_path / "b", "bfloat16") / "model.safetensors")
    assert exact.keys() == rounded.keys() == original.keys()
    for name, values in original.items():
        assert torch.equal(exact[name], values)
        assert torch.equal(rounded[name], values.to(torch.bfloat16))


def test_rounding_to_bfloat16_is_that_of_torch_for_ties_infinities_and_nan() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint32)
    edges = [0x3F808000, 0x3F818000, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FFFFFFF, 0x7F800001]
    values = np.concatenate((bits, np.array(edges, dtype=np.uint32))).view(np.float32)
    expected = torch.from_numpy(values.copy()).to(torch.bfloat16)
    got = torch.from_numpy(round_to_bfloat16(values).view(np.int16)).view(torch.bfloat16)
    is_number = ~torch.isnan(expected)
    assert torch.equal(got[is_number], expected[is_number])
    assert torch.equal(torch.isnan(got), torch.isnan(expected))


def test_single_precision_settings_are_said_the_short_way(tmp_path: Path) -> None:
    config = json.loads((converted("llama", tmp_path) / "config.json").read_text())
    assert config["rms_norm_eps"] == 1e-5
    assert config["rope_theta"] == 50_000.0


def test_qwen2_tokenizer_equals_that_of_transformers(tmp_path: Path) -> None:
    ours = transformers.AutoTokenizer.from_pretrained(converted("qwen2", tmp_path, pre="qwen2"))
    vocab = {token: number for number, token in enumerate(TOKENS)}
    qwen2: Any = transformers.Qwen2Tokenizer
    theirs = qwen2(vocab=vocab, merges=MERGES)
    for text in HARD:
        assert ours.encode(text) == theirs.encode(text)


@pytest.mark.parametrize("pre", ["smollm", "gpt-2", "llama-bpe", "qwen2"])
def test_hard_text_round_trips(pre: str, tmp_path: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(converted("llama", tmp_path, pre=pre))
    for text in HARD:
        tokens = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(tokens) == text
        assert max(tokens) < len(TOKENS)


@pytest.mark.parametrize(("pre", "pieces"), [("smollm", 4), ("qwen2", 4), ("llama-bpe", 3)])
def test_digits_are_cut_as_each_pre_says(pre: str, pieces: int, tmp_path: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(converted("llama", tmp_path, pre=pre))
    # "12" is a token, but only where digits are not cut one by one.
    assert len(tokenizer.encode("1234", add_special_tokens=False)) == pieces


def test_bos_is_prepended_only_where_the_file_or_its_pre_says_so(tmp_path: Path) -> None:
    for name, pre, extra, first in (
        ("a", "smollm", {}, None),
        ("b", "llama-bpe", {}, 1),
        ("c", "llama-bpe", {"tokenizer.ggml.add_bos_token": False}, None),
        ("d", "gpt-2", {"tokenizer.ggml.add_bos_token": True}, 1),
    ):
        gguf = tmp_path / f"{name}.gguf"
        write_gguf(gguf, metadata("llama", pre) | extra, tensors("llama", tiny_model("llama")))
        folder = customize_gguf.convert(gguf, tmp_path / name)
        tokens = transformers.AutoTokenizer.from_pretrained(folder).encode("hello")
        assert (tokens[0] == 1) == (first == 1)


def test_every_token_that_ends_a_turn_stops_generation(tmp_path: Path) -> None:
    said = metadata("llama") | {"tokenizer.ggml.eot_token_id": 1}
    gguf = write_gguf(tmp_path / "m.gguf", said, tensors("llama", tiny_model("llama")))
    folder = customize_gguf.convert(gguf, tmp_path / "out")
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == [0, 1]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"general.architecture": "gemma3"}, "gemma3"),
        ({"tokenizer.ggml.pre": "tekken"}, "tekken"),
        ({"tokenizer.ggml.model": "llama"}, "'llama'"),
        ({"llama.expert_count": 8}, "experts"),
        ({"llama.rope.scaling.type": "yarn"}, "yarn"),
        ({"llama.block_count": 1_000_000_000}, "layers"),
        ({"llama.block_count": 1}, "blk.1."),
        ({"llama.feed_forward_length": 47}, "shape"),
        ({"llama.attention.head_count": 0}, "head_count"),
        ({"llama.context_length": "long"}, "context_length"),
        ({"tokenizer.ggml.eos_token_id": 10**6}, "eos_token_id"),
        ({"tokenizer.ggml.merges": ["q z"]}, "merge"),
        ({"tokenizer.ggml.token_type": [1]}, "type"),
    ],
)
def test_what_is_not_supported_or_not_true_is_refused_by_name(
    change: dict[str, object], named: str, tmp_path: Path
) -> None:
    said = metadata("llama") | change
    gguf = write_gguf(tmp_path / "m.gguf", said, tensors("llama", tiny_model("llama")))
    with pytest.raises(customize.ModelError, match=named):
        customize_gguf.convert(gguf, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.gguf"]


@pytest.mark.parametrize(
    ("family", "extra"), [("llama", "blk.0.attn_gate.weight"), ("qwen2", "rope_freqs.weight")]
)
def test_a_tensor_that_the_family_has_not_is_refused(
    family: str, extra: str, tmp_path: Path
) -> None:
    stored = tensors(family, tiny_model(family)) | {extra: f32(np.ones(4, "f4"))}
    gguf = write_gguf(tmp_path / "m.gguf", metadata(family), stored)
    with pytest.raises(customize.ModelError, match=extra):
        customize_gguf.convert(gguf, tmp_path / "out")


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    stored = tensors("llama", tiny_model("llama"))
    del stored["blk.1.ffn_up.weight"]
    gguf = write_gguf(tmp_path / "m.gguf", metadata("llama"), stored)
    with pytest.raises(customize.ModelError, match=r"blk\.1\.ffn_up"):
        customize_gguf.convert(gguf, tmp_path / "out")


def test_an_existing_folder_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("kept")
    with pytest.raises(customize.OptionError, match="exists"):
        converted("llama", tmp_path)
