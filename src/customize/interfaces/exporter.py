"""Exporters: put what was trained into a form that others serve. Know no method and no engine.

An exporter writes weights and what its runtime wants. Everything else of a package is the same for
all of them and is not theirs: tokenizer and template, manifest, card, and the proof that it answers
as trained.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import attrs

from customize.interfaces.model import ModelFolder
from customize.interfaces.renderer import Renderer

_PEFT = "adapter_config.json"


@attrs.frozen
class Exportable:
    """A finished customization.

    name: what those who ask it call it; also the adapter's name.
    weights: what ``save_weights`` wrote: an adapter in PEFT's format, or whole weights.
    model: the base, in safetensors, with its config.
    """

    name: str
    model: ModelFolder
    weights: Path
    renderer: Renderer

    @property
    def is_adapter(self) -> bool:
        """Whether ``weights`` are an adapter; else they are whole, as after full fine-tuning."""
        return (self.weights / _PEFT).is_file()


class Exporter(ABC):
    """Writes weights for a runtime; its fields are options.

    serves: the program or library that loads what it writes, as its users know it.
    runtime: the import string of its `Runtime`; the parity gate and the server ask that.
    """

    serves: ClassVar[str]
    runtime: ClassVar[str]

    @property
    @abstractmethod
    def precision(self) -> str:
        """How weights are kept: ``float32``, ``float16`` or ``bfloat16`` (computed in float32),
        else the name of a quantization, as ``int8``. It decides how exact parity must be.
        """

    @property
    def most_context(self) -> int | None:
        """Tokens of prompt and answer together that its runtime takes of any model, at most; None
        takes as many as the model was made for. What proves a package is asked within it.
        """
        return None

    def check(self, source: Exportable) -> None:  # noqa: B027  # many can write everything
        """Refuse, before any work, what cannot be made.

        Raises:
            ExportError: architecture, precision or adapter are not supported; says what is.
        """

    @abstractmethod
    def write(self, source: Exportable, folder: Path) -> None:
        """Write weights, and what the runtime wants beside them, into the empty ``folder``.

        Tokenizer, chat template, ``generation_config.json``, card and ``package.json`` are written
        beside them afterwards.

        Raises:
            ExportError: it cannot be made.
        """

    def needs_base(self, source: Exportable) -> bool:
        """Whether an adapter alone is written, which its runtime puts on the base."""
        return False

    def how_to_run(self, source: Exportable) -> Mapping[str, str]:
        """Commands that load the package, by the name of who loads it; ``{folder}`` stands for
        where it is, and ``{base}`` for where its base is.
        """
        return {}
