"""The model that is served: its names, its limits, and which of its layers are which.

Knows no engine.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs

from customize import ModelError, ModelFolder

_CONTEXT = ("max_position_embeddings", "n_positions", "max_sequence_length")
_LONGEST = 1 << 20
_ATTENTION, _MLP = ("attn", "attention"), ("mlp", "feed_forward", "ffn")


@attrs.frozen(slots=False)
class Base:
    """folder: of the weights. names: what clients may call it, its own first."""

    folder: ModelFolder
    names: tuple[str, ...]

    def check_name(self, name: str) -> None:
        """Raises ModelError: it is no name of the model that is served."""
        if name not in self.names:
            raise ModelError(f"this server has {' or '.join(self.names)}, and not {name[:200]!r}")

    @property
    def name(self) -> str:
        return self.names[0]

    @cached_property
    def context(self) -> int:
        """Tokens of a prompt and its completion at most."""
        return next((int(self._config[k]) for k in _CONTEXT if k in self._config), _LONGEST)

    @cached_property
    def architecture(self) -> str | None:
        return next(iter(self._config.get("architectures") or ()), None)

    @property
    def tokenizer_id(self) -> str:
        """Where the official client on this machine finds the tokenizer."""
        return str(self.folder.path)

    def token_of(self, text: str) -> int | None:
        """The control token that is written so, if there is one."""
        return self._control_tokens.get(text)

    def targets(self, mlp: bool, attention: bool) -> tuple[str, ...] | str:
        """Names of the layers an adapter is put on.

        Raises:
            ModelError: the model's layers are not named so that they can be told apart.
        """
        if mlp and attention:
            return "all-linear"
        wanted = _MLP if mlp else _ATTENTION
        names = {name.removesuffix(".weight") for name in self._weights if ".norm" not in name}
        chosen = {n.rsplit(".", 1)[-1] for n in names if any(part in n for part in wanted)}
        layers = sorted(name for name in chosen if "norm" not in name)
        if not layers:
            raise ModelError(
                "train_mlp and train_attn cannot be told apart in this model: set both"
            )
        return tuple(layers)

    @cached_property
    def _weights(self) -> list[str]:
        from safetensors import safe_open

        names: list[str] = []
        for file in sorted(self.folder.path.glob("*.safetensors")):
            with safe_open(file, framework="numpy") as opened:
                names += [name for name in opened.keys() if name.endswith(".weight")]  # noqa: SIM118
        return names

    @cached_property
    def _config(self) -> dict[str, Any]:  # any JSON
        return _json(self.folder.path / "config.json")

    @cached_property
    def _control_tokens(self) -> dict[str, int]:
        tokens = _json(self.folder.path / "tokenizer.json").get("added_tokens") or ()
        return {token["content"]: token["id"] for token in tokens}


def _json(file: Path) -> dict[str, Any]:  # any JSON
    if not file.is_file():
        return {}
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found
