"""Small byte-level tokenizers with the control tokens of each template."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from customize.data.rendering import ChatRenderer

TEMPLATES = Path(__file__).parent / "templates"
_CONTROL = r"<\|[a-zA-Z_]+\|>|<｜[^｜]+｜>|<(?:start|end)_of_turn>|\[/?[A-Z_]+\]"
# Llama 3's words: line ends stay together whatever follows them.
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_MARKUP = ("<think>", "</think>", "<tool_call>", "</tool_call>")
Make = Callable[..., ChatRenderer]


def build_tokenizer(source: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(["Where is it? Over there.\n\n the user asks"] * 3, trainer)
    control = sorted({"<s>", "</s>", *re.findall(_CONTROL, source)})
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in control])
    tokenizer.add_tokens([AddedToken(text, special=False) for text in _MARKUP])
    return tokenizer


def write_folder(folder: Path, source: str, eos: str = "</s>", **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    tokenizer = build_tokenizer(source)
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "TokenizersBackend"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**special, **config}))
    (folder / "chat_template.jinja").write_text(source)
    generation = {"eos_token_id": [tokenizer.token_to_id(eos)]}
    (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A renderer for a template: by the name of a stored one, or its source."""

    def make(template: str, **options: Any) -> ChatRenderer:
        stored = TEMPLATES / f"{template}.jinja"
        is_name = template.isidentifier()
        source = stored.read_text() if is_name else template
        return ChatRenderer.from_folder(write_folder(tmp_path / "model", source), **options)

    return make
