"""The shape of a model, from its configuration and the headers of its files. Reads no weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from customize._errors import OptionError
from customize.interfaces.session import Adapter, LoRA
from customize.models.trust import checked_config
from customize.models.weights import read_header, weight_files

_TABLES = ("embed_tokens", "lm_head", "wte", "embed_in", "embed_out")


@attrs.frozen
class ModelShape:
    """linear: (inputs, outputs) of each linear layer by name, without embedding and head.

    num_parameters: all of them, a tied head once. attention_width: heads times their size.
    """

    linear: Mapping[str, tuple[int, int]]
    num_parameters: int
    num_layers: int
    hidden: int
    intermediate: int
    attention_width: int
    key_value_width: int
    vocabulary: int

    @classmethod
    def of_folder(cls, folder: Path) -> ModelShape:
        """From a model on disk.

        Raises:
            ModelError: a file is missing, damaged or refused.
        """
        config = checked_config(folder)
        config = {**config, **config.get("text_config", {})}
        tensors = [tensor for file in weight_files(folder) for tensor in read_header(file)]
        linear = {
            tensor.name.removesuffix(".weight"): (tensor.shape[1], tensor.shape[0])
            for tensor in tensors
            if len(tensor.shape) == 2 and not any(part in tensor.name for part in _TABLES)
        }
        heads = _number(config, "num_attention_heads", 1)
        hidden = _number(config, "hidden_size", 1)
        head_size = _number(config, "head_dim", hidden // heads)
        return cls(
            linear=linear,
            num_parameters=sum(math.prod(tensor.shape) for tensor in tensors),
            num_layers=_number(config, "num_hidden_layers", 1),
            hidden=hidden,
            intermediate=_number(config, "intermediate_size", 4 * hidden),
            attention_width=heads * head_size,
            key_value_width=_number(config, "num_key_value_heads", heads) * head_size,
            vocabulary=_number(config, "vocab_size", 1),
        )

    @property
    def linear_parameters(self) -> int:
        """Those that every token is multiplied with, but for the head."""
        return sum(inputs * outputs for inputs, outputs in self.linear.values())

    def trainable(self, adapter: Adapter) -> int:
        """Parameters that are trained.

        Raises:
            OptionError: a target fits no layer.
        """
        if not isinstance(adapter, LoRA):
            return self.num_parameters
        return sum(adapter.rank * sum(self.linear[name]) for name in self._targets(adapter.targets))

    def _targets(self, wanted: str | tuple[str, ...]) -> list[str]:
        if wanted == "all-linear":
            return [*self.linear]
        names = (wanted,) if isinstance(wanted, str) else wanted
        found = [layer for layer in self.linear if layer.rsplit(".", 1)[-1] in names]
        if not found:
            have = ", ".join(sorted({layer.rsplit(".", 1)[-1] for layer in self.linear}))
            raise OptionError(f"no linear layer is called {names[0]!r}: there are {have}")
        return found


def _number(config: Mapping[str, Any], key: str, otherwise: int) -> int:
    value = config.get(key)
    return value if isinstance(value, int) and value > 0 else otherwise
