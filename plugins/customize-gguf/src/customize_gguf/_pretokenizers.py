"""How text is cut before BPE: each ``pre`` of GGUF beside its tokenizer.json. Knows no vocabulary.

A wrong guess would encode quietly and wrongly, so what is not listed here is refused, in both
directions. The cuts are those of llama-vocab.cpp in https://github.com/ggml-org/llama.cpp and of
the models' own tokenizer.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from customize import ModelError

Json = dict[str, object]


def byte_level(use_regex: bool) -> Json:
    """The step that writes bytes as letters; with the regex it cuts as GPT-2 does."""
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


def _split(digits: str) -> Json:
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
        + digits
        + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }


@attrs.frozen
class Pretokenizer:
    """How one ``pre`` cuts text, and what goes with it."""

    steps: tuple[Json, ...]
    normalizer: Json | None = None
    ignores_merges: bool = False
    adds_bos: bool = False

    def spec(self) -> Json:
        """What tokenizer.json says of it."""
        if len(self.steps) == 1:
            return self.steps[0]
        return {"type": "Sequence", "pretokenizers": list(self.steps)}


PRETOKENIZERS = {
    "smollm": Pretokenizer(
        ({"type": "Digits", "individual_digits": True}, byte_level(use_regex=True))
    ),
    "gpt-2": Pretokenizer((byte_level(use_regex=True),)),
    "llama-bpe": Pretokenizer(
        (_split(r"\p{N}{1,3}"), byte_level(use_regex=False)), ignores_merges=True, adds_bos=True
    ),
    "qwen2": Pretokenizer(
        (_split(r"\p{N}"), byte_level(use_regex=False)), normalizer={"type": "NFC"}
    ),
}


def named(pre: str) -> Pretokenizer:
    """The one that GGUF calls ``pre``."""
    if pre not in PRETOKENIZERS:
        raise ModelError(
            f"GGUF tokenizers with pre {pre!r} are not supported "
            f"(supported: {', '.join(PRETOKENIZERS)})"
        )
    return PRETOKENIZERS[pre]


def name_of(tokenizer: Mapping[str, Any]) -> str:
    """What GGUF calls the cuts of a tokenizer.json."""
    found = (
        _steps(tokenizer.get("normalizer"), "normalizers"),
        _steps(tokenizer.get("pre_tokenizer"), "pretokenizers"),
        bool(tokenizer["model"].get("ignore_merges")),
    )
    for name, known in PRETOKENIZERS.items():
        normalizer = _steps(known.normalizer, "normalizers")
        if found == (normalizer, _steps(known.spec(), "pretokenizers"), known.ignores_merges):
            return name
    raise ModelError(
        "this model's tokenizer cuts text in a way that is not supported as GGUF "
        f"(supported: those of the names {', '.join(PRETOKENIZERS)})"
    )


def _steps(part: Mapping[str, Any] | None, inner: str) -> list[Json]:
    """The steps one by one, without what changes no token."""
    if part is None:
        return []
    if part["type"] == "Sequence":
        return [step for each in part[inner] for step in _steps(each, inner)]
    return [{key: value for key, value in part.items() if key != "trim_offsets"}]
