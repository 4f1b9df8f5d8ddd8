"""A model's folder as what a GGUF file says and holds. Knows no file of GGUF and no runtime."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from customize import ModelError
from customize_gguf import _ggml, _rope, _safetensors
from customize_gguf._adapter import PeftAdapter
from customize_gguf._families import Floats, Layout, Weight
from customize_gguf._reader import Value
from customize_gguf._safetensors import Entry
from customize_gguf._tokenizer import Vocabulary
from customize_gguf._writing import Tensor

# Precisions, the tensor type of each, and what general.file_type calls it in llama.h.
DTYPES = {
    "f32": ("F32", 0),
    "f16": ("F16", 1),
    "bf16": ("BF16", 32),
    "q8_0": ("Q8_0", 7),
    "q4_0": ("Q4_0", 2),
    "q4_1": ("Q4_1", 3),
    "q6_k": ("Q6_K", 18),
    "q5_k": ("Q5_K", 16),
    "q4_k": ("Q4_K", 14),
}
BASE_DTYPE = "customize.base_dtype"
_BLOCK = 32  # values that share a scale in each quantization but K-quants
# As llama.cpp quantises: the tables of tokens, which lose most by few bits, in more of them.
_IN_TABLES = {"Q4_0": "Q8_0", "Q4_1": "Q8_0", "Q4_K": "Q6_K", "Q5_K": "Q6_K"}
_TABLES = ("token_embd.weight", "output.weight")


@attrs.frozen
class Source:
    """Layout and vocabulary of a model, and its tensors by their Hugging Face names."""

    layout: Layout
    vocabulary: Vocabulary
    entries: dict[str, Entry]

    @classmethod
    def read(cls, folder: Path, stop_tokens: Sequence[int], weights: Path | None = None) -> Source:
        """A model's folder; its tensors are those of ``weights`` where that is given.

        Raises:
            ModelError: its family, tokenizer or a tensor of it are not supported.
        """
        entries = _safetensors.read(weights or folder)
        layout = Layout.of_config(_json(folder / "config.json"), entries)
        for weight in layout.weights():
            shape = entries[weight.name].shape if weight.name in entries else None
            if shape != weight.shape:
                raise ModelError(
                    f"the weight {weight.name} has shape {shape}, not {weight.shape} as "
                    "config.json implies"
                )
        settings = _json(folder / "tokenizer_config.json")
        vocabulary = Vocabulary.of_tokenizer(
            _json(folder / "tokenizer.json"),
            {key: _text(value) for key, value in settings.items() if key.endswith("_token")},
            stop_tokens,
            layout.vocabulary,
            _chat_template(folder, settings),
        )
        return cls(layout, vocabulary, entries)

    def metadata(self, name: str, dtype: str) -> dict[str, Value]:
        """What the file of the whole model says."""
        general: dict[str, Value] = {
            "general.architecture": self.layout.name,
            "general.type": "model",
            "general.name": name,
            "general.file_type": DTYPES[dtype][1],
            "general.quantization_version": 2,
        }
        return general | self.layout.metadata() | self.vocabulary.metadata()

    def tensors(self, dtype: str, adapter: PeftAdapter | None = None) -> Iterator[Tensor]:
        """The tensors of the whole model, with an adapter's updates where one is given."""
        for weight in self.layout.weights():
            load = functools.partial(_load, weight, self.entries[weight.name], adapter)
            yield Tensor(weight.gguf, weight.shape, _type(weight, dtype), load)
        layout = self.layout
        if layout.stretch is not None:
            divide = functools.partial(layout.stretch.divisors, layout.head, layout.theta)
            yield Tensor(_rope.TENSOR, (layout.head // 2,), "F32", divide)

    def adapter_metadata(self, name: str, adapter: PeftAdapter, dtype: str) -> dict[str, Value]:
        """What the file of an adapter says; ``dtype`` is that of the base that it was proven on."""
        return {
            "general.architecture": self.layout.name,
            "general.type": "adapter",
            "general.name": name,
            "general.file_type": DTYPES["f32"][1],
            "adapter.type": "lora",
            # llama.cpp divides it by the rank.
            "adapter.lora.alpha": adapter.scale * adapter.rank,
            BASE_DTYPE: dtype,
        }

    def adapter_tensors(self, adapter: PeftAdapter) -> Iterator[Tensor]:
        """The tensors of an adapter alone."""
        for weight in self.layout.weights():
            if weight.name in adapter.a_RI:
                a, b = adapter.a_RI[weight.name], adapter.b_OR[weight.name]
                yield Tensor(f"{weight.gguf}.lora_a", a.shape, "F32", a.load)
                load = functools.partial(_load, weight, b, None)
                yield Tensor(f"{weight.gguf}.lora_b", b.shape, "F32", load)

    def check_adapter(self, adapter: PeftAdapter) -> None:
        """Raises ModelError where it changes what has no weight of its own here."""
        linear = {w.name for w in self.layout.weights() if len(w.shape) == 2}
        linear.discard("model.embed_tokens.weight")
        if other := sorted(adapter.a_RI.keys() - linear):
            raise ModelError(
                f"the adapter changes {other[0].removesuffix('.weight')}, which is no linear layer "
                f"with weights of its own in this {self.layout.name} model"
            )


def _load(weight: Weight, entry: Entry, adapter: PeftAdapter | None) -> Floats:
    rows = entry.load()
    update = adapter.update(weight.name) if adapter else None
    return weight.interleaved(rows if update is None else rows + update)


def _type(weight: Weight, dtype: str) -> str:
    wanted, _ = DTYPES[dtype]
    if len(weight.shape) == 1:
        return "F32"
    if wanted.startswith("Q") and weight.shape[-1] % _BLOCK:
        return "F16"
    if weight.gguf in _TABLES:
        wanted = _IN_TABLES.get(wanted, wanted)
    return _ggml.UNDIVIDED.get(wanted, wanted) if weight.shape[-1] % _ggml.BLOCK else wanted


def _chat_template(folder: Path, settings: dict[str, Any]) -> str:
    file = folder / "chat_template.jinja"
    template = file.read_text("utf-8") if file.is_file() else settings.get("chat_template")
    if not isinstance(template, str):
        raise ModelError(
            f"{folder} has not one chat template: GGUF has room for one, so save the one to use "
            "as chat_template.jinja"
        )
    return template


def _text(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)


def _json(file: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return value
