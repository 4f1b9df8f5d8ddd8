"""A model's tokenizer, chat template and stop tokens, written so that every loader agrees.

The tokenizer is written as it computes, under the one class that takes it as it is: others
replace parts of it by what their name stands for (GPT2Tokenizer drops the splitting of digits).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from customize._errors import ExportError
from customize.data.rendering.folder import ChatFolder

_CONFIG, _GENERATION = "tokenizer_config.json", "generation_config.json"
_KEPT = ("model_max_length", "padding_side", "truncation_side", "extra_special_tokens")
# Ways to write text that only the class of another name would follow are in tokenizer.json.
_AS_IT_IS = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "clean_up_tokenization_spaces": False,
}


def write_tokenizer(model: Path, folder: Path, stop_tokens: Iterable[int]) -> None:
    """Write tokenizer.json, tokenizer_config.json with the exact template, and
    generation_config.json with every stop token.

    Raises:
        ExportError: the tokenizer does not come back as it was written.
    """
    chat = ChatFolder.read(model)
    _write_json(folder / _CONFIG, {**_settings(model, chat), **_AS_IT_IS})
    (folder / "tokenizer.json").write_text(_live(chat.tokenizer_json), "utf-8")
    _write_generation(model, folder, stop_tokens)


def _live(tokenizer_json: bytes) -> str:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(tokenizer_json)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    text: str = tokenizer.to_str(pretty=True)
    if Tokenizer.from_str(text).to_str(pretty=True) != text:
        raise ExportError("the tokenizer cannot be written so that it comes back the same")
    return text


def _settings(model: Path, chat: ChatFolder) -> dict[str, Any]:
    told = _read_json(model / _CONFIG)
    special = {name: text for name, text in chat.special.items() if name.endswith("_token")}
    kept = {name: told[name] for name in _KEPT if name in told}
    return {**kept, **special, "chat_template": _template(chat.templates)}


def _template(templates: Mapping[str, str]) -> str | list[dict[str, str]]:
    if list(templates) == ["default"]:
        return templates["default"]
    return [{"name": name, "template": text} for name, text in templates.items()]


def _write_generation(model: Path, folder: Path, stop_tokens: Iterable[int]) -> None:
    told = {k: v for k, v in _read_json(model / _GENERATION).items() if not k.startswith("_")}
    told.pop("transformers_version", None)
    ends = [int(token) for token in stop_tokens]
    _write_json(folder / _GENERATION, {**told, "eos_token_id": ends})


def _read_json(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text("utf-8"))) if file.is_file() else {}


def _write_json(file: Path, value: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", "utf-8")
