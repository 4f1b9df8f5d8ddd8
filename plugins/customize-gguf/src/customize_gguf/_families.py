"""Model families: what GGUF and Hugging Face call the same sizes and weights. Knows no bytes.

Each name stands in one table here, read in both directions. Shapes are rows first, as in torch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from customize import ModelError
from customize_gguf._metadata import Metadata
from customize_gguf._rope import Llama3

Floats = npt.NDArray[np.float32]


@attrs.frozen
class Family:
    """What sets one family apart from the others.

    interleaves: GGUF stores the rows of its queries and keys with the two halves of each head
        interleaved (llama.cpp's rotary embedding wants neighbours; transformers' wants halves).
    stretches: rotary positions may be stretched as Llama 3 does.
    """

    architecture: str
    interleaves: bool
    has_biases: bool
    has_qk_norms: bool
    stretches: bool = False


FAMILIES = {
    "llama": Family(
        "LlamaForCausalLM", interleaves=True, has_biases=False, has_qk_norms=False, stretches=True
    ),
    "qwen2": Family("Qwen2ForCausalLM", interleaves=False, has_biases=True, has_qk_norms=False),
    "qwen3": Family("Qwen3ForCausalLM", interleaves=False, has_biases=False, has_qk_norms=True),
}

# A layout's field: its key in GGUF after the family's name, and its key in config.json.
_SIZES = {
    "num_layers": ("block_count", "num_hidden_layers"),
    "context": ("context_length", "max_position_embeddings"),
    "hidden": ("embedding_length", "hidden_size"),
    "intermediate": ("feed_forward_length", "intermediate_size"),
    "num_heads": ("attention.head_count", "num_attention_heads"),
    "num_kv_heads": ("attention.head_count_kv", "num_key_value_heads"),
    "head": ("attention.key_length", "head_dim"),
}
_NUMBERS = {
    "epsilon": ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    "theta": ("rope.freq_base", "rope_theta"),
}
_KEYS = _SIZES | _NUMBERS
_DEFAULT_THETA = 10_000.0
# What config.json may say, and then must, for the model to be a plain one of its family.
_PLAIN: dict[str, Any] = {
    "hidden_act": "silu",
    "mlp_bias": False,
    "use_sliding_window": False,
    "attention_bias": False,
    "quantization_config": None,
}


@attrs.frozen
class Weight:
    """One weight under its two names, and its shape.

    heads: where GGUF interleaves its rows, those of so many heads; else 0.
    """

    gguf: str
    name: str
    shape: tuple[int, ...]
    heads: int = 0

    def interleaved(self, rows: Floats) -> Floats:
        """As GGUF has them, of rows as transformers has them."""
        return self._swapped(rows, 2, -1) if self.heads else rows

    def in_halves(self, rows: Floats) -> Floats:
        """As transformers has them, of rows as GGUF has them."""
        return self._swapped(rows, -1, 2) if self.heads else rows

    def _swapped(self, rows: Floats, slow: int, fast: int) -> Floats:
        parts = rows.reshape(self.heads, slow, fast, rows.shape[-1])
        return parts.swapaxes(1, 2).reshape(rows.shape)


@attrs.frozen
class Layout:
    """A model's family and the sizes from which every weight's shape follows.

    stretch: of rotary positions; a file of GGUF says it by a tensor, for others to read.
    """

    name: str
    num_layers: int
    context: int
    hidden: int
    intermediate: int
    num_heads: int
    num_kv_heads: int
    head: int
    epsilon: float
    theta: float
    vocabulary: int
    tied: bool
    stretch: Llama3 | None = None

    @property
    def family(self) -> Family:
        return FAMILIES[self.name]

    @classmethod
    def of_gguf(cls, metadata: Metadata, tensors: Collection[str]) -> Layout:
        """Raises ModelError, by name, for a family or a variant of one that is not known."""
        name = _family(metadata.text("general.architecture"))
        if metadata.values.get(f"{name}.expert_count", 0) != 0:
            raise ModelError(f"GGUF {name} models with a mixture of experts are not supported")
        scaling = metadata.values.get(f"{name}.rope.scaling.type", "none")
        if scaling != "none":
            raise ModelError(f"GGUF {name} models with rope scaling {scaling!r} are not supported")
        keys = {field: f"{name}.{key}" for field, (key, _) in _KEYS.items()}
        vocabulary = len(metadata.texts("tokenizer.ggml.tokens"))
        layout = cls._read(name, metadata, keys, vocabulary, "output.weight" not in tensors)
        if layout.num_layers > len(tensors):
            raise ModelError(
                f"the GGUF file announces {layout.num_layers} layers, but has not as many"
            )
        return layout

    @classmethod
    def of_config(cls, config: Mapping[str, Any], tensors: Collection[str]) -> Layout:
        """Raises ModelError, by name, for a family or a variant of one that is not known."""
        name = _family(config.get("model_type"))
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        kind = rope.get("rope_type", rope.get("type", "default"))
        stretches = FAMILIES[name].stretches and kind == "llama3"
        stretch = Llama3.read(rope) if stretches else None
        if kind != "default" and stretch is None:
            raise ModelError(f"{name} models with rope scaling {kind!r} are not supported as GGUF")
        for key, plain in _PLAIN.items():
            if config.get(key, plain) != plain:
                raise ModelError(
                    f"{name} models with {key}={config[key]!r} are not supported as GGUF "
                    f"(supported: {plain!r})"
                )
        said = {key: value for key, value in {**config, **rope}.items() if value is not None}
        metadata = Metadata(said, "config.json")
        keys = {field: key for field, (_, key) in _KEYS.items()}
        tied = bool(config.get("tie_word_embeddings")) or "lm_head.weight" not in tensors
        return cls._read(name, metadata, keys, metadata.count("vocab_size"), tied, stretch)

    @classmethod
    def _read(
        cls,
        name: str,
        metadata: Metadata,
        keys: Mapping[str, str],
        vocabulary: int,
        tied: bool,
        stretch: Llama3 | None = None,
    ) -> Layout:
        hidden, num_heads = metadata.count(keys["hidden"]), metadata.count(keys["num_heads"])
        defaults = {"num_kv_heads": num_heads, "head": max(1, hidden // num_heads)}
        sizes = {field: metadata.count(keys[field], defaults.get(field)) for field in _SIZES}
        return cls(
            name=name,
            vocabulary=vocabulary,
            tied=tied,
            stretch=stretch,
            epsilon=metadata.positive(keys["epsilon"]),
            theta=metadata.positive(keys["theta"], _DEFAULT_THETA),
            **sizes,
        )

    def config(self) -> dict[str, object]:
        """What config.json says of the architecture; token ids and dtype are others' to add."""
        config: dict[str, object] = {
            "architectures": [self.family.architecture],
            "model_type": self.name,
            "hidden_act": "silu",
            "tie_word_embeddings": self.tied,
            "vocab_size": self.vocabulary,
        }
        if self.name != "qwen2":
            config["attention_bias"] = False
        if self.stretch is not None:
            config["rope_scaling"] = self.stretch.config()
        return config | {key: getattr(self, field) for field, (_, key) in _KEYS.items()}

    def metadata(self) -> dict[str, str | int | float]:
        """What GGUF says of the architecture."""
        said: dict[str, str | int | float] = {
            f"{self.name}.{key}": getattr(self, field) for field, (key, _) in _KEYS.items()
        }
        # llama.cpp takes both from the width and the heads where they are not said.
        said[f"{self.name}.attention.value_length"] = self.head
        said[f"{self.name}.rope.dimension_count"] = self.head
        kept = self.stretch.metadata() if self.stretch is not None else {}
        return said | {f"{self.name}.vocab_size": self.vocabulary} | kept

    def weights(self) -> Iterator[Weight]:
        """Every weight of the model."""
        yield Weight("token_embd.weight", "model.embed_tokens.weight", self._table)
        yield Weight("output_norm.weight", "model.norm.weight", (self.hidden,))
        if not self.tied:
            yield Weight("output.weight", "lm_head.weight", self._table)
        for layer in range(self.num_layers):
            for weight in self._layer_weights():
                yield attrs.evolve(
                    weight,
                    gguf=f"blk.{layer}.{weight.gguf}",
                    name=f"model.layers.{layer}.{weight.name}",
                )

    @property
    def _table(self) -> tuple[int, int]:
        return self.vocabulary, self.hidden

    def _layer_weights(self) -> Iterator[Weight]:
        yield Weight("attn_norm.weight", "input_layernorm.weight", (self.hidden,))
        yield Weight("ffn_norm.weight", "post_attention_layernorm.weight", (self.hidden,))
        yield from self._projection("q", self.num_heads, self.family.interleaves)
        yield from self._projection("k", self.num_kv_heads, self.family.interleaves)
        yield from self._projection("v", self.num_kv_heads, False)
        queries = self.num_heads * self.head
        yield Weight("attn_output.weight", "self_attn.o_proj.weight", (self.hidden, queries))
        if self.family.has_qk_norms:
            yield Weight("attn_q_norm.weight", "self_attn.q_norm.weight", (self.head,))
            yield Weight("attn_k_norm.weight", "self_attn.k_norm.weight", (self.head,))
        wide, narrow = (self.intermediate, self.hidden), (self.hidden, self.intermediate)
        yield Weight("ffn_gate.weight", "mlp.gate_proj.weight", wide)
        yield Weight("ffn_up.weight", "mlp.up_proj.weight", wide)
        yield Weight("ffn_down.weight", "mlp.down_proj.weight", narrow)

    def _projection(self, letter: str, num_heads: int, interleaves: bool) -> Iterator[Weight]:
        gguf, name = f"attn_{letter}", f"self_attn.{letter}_proj"
        rows, heads = num_heads * self.head, num_heads if interleaves else 0
        yield Weight(f"{gguf}.weight", f"{name}.weight", (rows, self.hidden), heads)
        if self.family.has_biases:
            yield Weight(f"{gguf}.bias", f"{name}.bias", (rows,))


def _family(name: object) -> str:
    if not isinstance(name, str) or name not in FAMILIES:
        raise ModelError(
            f"models of the family {name!r} are not supported as GGUF "
            f"(supported: {', '.join(FAMILIES)})"
        )
    return name
