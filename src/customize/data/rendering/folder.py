"""What a model folder says about its conversations: template, tokenizer, special and stop tokens.

Reads JSON and text only; knows nothing of rendering.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from customize._errors import ModelError

_NAMED = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)


@attrs.frozen
class ChatFolder:
    """templates: by name, "default" among them. special: bos_token and so on, for the template.

    eos: ids the folder declares to end a text. vocabulary_size: the model's, where it is said.
    """

    tokenizer_json: bytes = attrs.field(repr=False)
    templates: Mapping[str, str]
    special: Mapping[str, Any]
    eos: tuple[int, ...]
    vocabulary_size: int | None

    @property
    def fingerprint(self) -> str:
        """sha256 of templates, special tokens and eos: what a model's own has nothing of."""
        said = [dict(self.templates), dict(self.special), sorted(self.eos)]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    @classmethod
    def read(cls, path: Path) -> ChatFolder:
        """Raises ModelError when the tokenizer or the chat template is missing or damaged."""
        tokenizer = path / "tokenizer.json"
        if not tokenizer.is_file():
            raise ModelError(
                f"{path} has no tokenizer.json: save the model with its fast tokenizer "
                "(tokenizer.save_pretrained)"
            )
        config = _json(path / "tokenizer_config.json")
        special = {**_json(path / "special_tokens_map.json"), **config}
        templates = _templates(path, config)
        if not templates:
            raise ModelError(
                f"{path} has no chat template: add chat_template.jinja, or use the instruct "
                "version of the model"
            )
        size = _vocabulary_size(path)
        return cls(tokenizer.read_bytes(), templates, _special(special), _eos(path), size)


def _templates(path: Path, config: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    listed = config.get("chat_template") or _json(path / "chat_template.json").get("chat_template")
    if isinstance(listed, str):
        found["default"] = listed
    elif isinstance(listed, list):
        found |= {entry["name"]: entry["template"] for entry in listed}
    single = path / "chat_template.jinja"
    if single.is_file():
        found = {"default": single.read_text("utf-8")}
    for extra in sorted(path.glob("additional_chat_templates/*.jinja")):
        found[extra.stem] = extra.read_text("utf-8")
    return found


def _special(config: Mapping[str, Any]) -> dict[str, Any]:
    """Token texts by name, as transformers hands them to the template."""
    special = {name: _content(config[name]) for name in _NAMED if config.get(name)}
    extra = config.get("extra_special_tokens")
    if isinstance(extra, dict):
        special |= {name: _content(value) for name, value in extra.items()}
    return special


def _content(token: Any) -> Any:
    return token.get("content") if isinstance(token, dict) else token


def _eos(path: Path) -> tuple[int, ...]:
    for name in ("generation_config.json", "config.json"):
        eos = _json(path / name).get("eos_token_id")
        if isinstance(eos, int):
            return (eos,)
        if isinstance(eos, list):
            return tuple(int(token) for token in eos)
    return ()


def _vocabulary_size(path: Path) -> int | None:
    config = _json(path / "config.json")
    text = config.get("text_config")
    sizes = [part.get("vocab_size") for part in (config, text) if isinstance(part, dict)]
    return next((size for size in sizes if isinstance(size, int)), None)


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} must hold a JSON object")
    return value
