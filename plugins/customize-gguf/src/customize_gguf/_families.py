"""Model families: GGUF metadata and tensor names to config.json and Hugging Face names.

Knows nothing of bytes or tokenizers. Shapes are rows first, as in torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs
import numpy as np
import numpy.typing as npt

from customize import ModelError
from customize_gguf._metadata import Metadata
from customize_gguf._reader import Tensor
from customize_gguf._safetensors import Entry

Floats = npt.NDArray[np.float32]


@attrs.frozen
class Family:
    """What sets one family apart from the others.

    interleaves: GGUF stores the rows of its queries and keys with the two halves of each head
        interleaved (llama.cpp's rotary embedding wants neighbours; transformers' wants halves).
    """

    architecture: str
    interleaves: bool
    has_biases: bool
    has_qk_norms: bool


FAMILIES = {
    "llama": Family("LlamaForCausalLM", interleaves=True, has_biases=False, has_qk_norms=False),
    "qwen2": Family("Qwen2ForCausalLM", interleaves=False, has_biases=True, has_qk_norms=False),
    "qwen3": Family("Qwen3ForCausalLM", interleaves=False, has_biases=False, has_qk_norms=True),
}


@attrs.frozen
class Layout:
    """A model's family and the sizes from which every weight's shape follows."""

    name: str
    family: Family
    hidden: int
    intermediate: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head: int
    vocabulary: int
    tied: bool

    @classmethod
    def read(cls, metadata: Metadata, tensors: Mapping[str, Tensor]) -> Layout:
        """Raises ModelError, by name, for a family or a variant of one that is not known."""
        name, family = _family(metadata)
        num_layers = metadata.count(f"{name}.block_count")
        if num_layers > len(tensors):
            raise ModelError(f"the GGUF file announces {num_layers} layers, but has not as many")
        hidden = metadata.count(f"{name}.embedding_length")
        num_heads = metadata.count(f"{name}.attention.head_count")
        return cls(
            name=name,
            family=family,
            hidden=hidden,
            intermediate=metadata.count(f"{name}.feed_forward_length"),
            num_layers=num_layers,
            num_heads=num_heads,
            num_kv_heads=metadata.count(f"{name}.attention.head_count_kv", num_heads),
            head=metadata.count(f"{name}.attention.key_length", max(1, hidden // num_heads)),
            vocabulary=len(metadata.texts("tokenizer.ggml.tokens")),
            tied="output.weight" not in tensors,
        )

    def config(self, metadata: Metadata) -> dict[str, object]:
        """What config.json says of the architecture; token ids and dtype are others' to add."""
        config: dict[str, object] = {
            "architectures": [self.family.architecture],
            "model_type": self.name,
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "head_dim": self.head,
            "max_position_embeddings": metadata.count(f"{self.name}.context_length"),
            "rms_norm_eps": metadata.positive(f"{self.name}.attention.layer_norm_rms_epsilon"),
            "rope_theta": metadata.positive(f"{self.name}.rope.freq_base", 10_000.0),
            "tie_word_embeddings": self.tied,
            "vocab_size": self.vocabulary,
        }
        if self.name != "qwen2":
            config["attention_bias"] = False
        return config

    def entries(self, tensors: Mapping[str, Tensor]) -> Iterator[Entry]:
        """Every weight of the model under its Hugging Face name.

        Raises:
            ModelError: a tensor is missing, left over, or not of the shape the metadata imply.
        """
        wanted = {gguf: (name, shape) for gguf, name, shape in self._weights()}
        if left_over := sorted(tensors.keys() - wanted.keys()):
            raise ModelError(
                f"the GGUF file has tensors that a plain {self.name} model has not: "
                f"{', '.join(left_over[:5])}; this variant is not supported"
            )
        for gguf, (name, shape) in wanted.items():
            if gguf not in tensors:
                raise ModelError(f"the GGUF file lacks the tensor {gguf!r}")
            if tensors[gguf].shape != shape:
                raise ModelError(
                    f"the GGUF file's tensor {gguf!r} has shape {tensors[gguf].shape}, "
                    f"but its metadata imply {shape}"
                )
            yield Entry(name, shape, self._loader(tensors[gguf]))

    def _loader(self, tensor: Tensor) -> _Loader:
        heads = 0
        if self.family.interleaves and tensor.name.endswith("attn_q.weight"):
            heads = self.num_heads
        if self.family.interleaves and tensor.name.endswith("attn_k.weight"):
            heads = self.num_kv_heads
        return _Loader(tensor, heads)

    def _weights(self) -> Iterator[tuple[str, str, tuple[int, ...]]]:
        """(GGUF name, Hugging Face name, shape) of each weight."""
        yield "token_embd.weight", "model.embed_tokens.weight", (self.vocabulary, self.hidden)
        yield "output_norm.weight", "model.norm.weight", (self.hidden,)
        if not self.tied:
            yield "output.weight", "lm_head.weight", (self.vocabulary, self.hidden)
        for layer in range(self.num_layers):
            for gguf, name, shape in self._layer_weights():
                yield f"blk.{layer}.{gguf}", f"model.layers.{layer}.{name}", shape

    def _layer_weights(self) -> Iterator[tuple[str, str, tuple[int, ...]]]:
        queries, keys = self.num_heads * self.head, self.num_kv_heads * self.head
        yield "attn_norm.weight", "input_layernorm.weight", (self.hidden,)
        yield "ffn_norm.weight", "post_attention_layernorm.weight", (self.hidden,)
        for gguf, name, rows in (("q", "q", queries), ("k", "k", keys), ("v", "v", keys)):
            yield f"attn_{gguf}.weight", f"self_attn.{name}_proj.weight", (rows, self.hidden)
            if self.family.has_biases:
                yield f"attn_{gguf}.bias", f"self_attn.{name}_proj.bias", (rows,)
        yield "attn_output.weight", "self_attn.o_proj.weight", (self.hidden, queries)
        if self.family.has_qk_norms:
            yield "attn_q_norm.weight", "self_attn.q_norm.weight", (self.head,)
            yield "attn_k_norm.weight", "self_attn.k_norm.weight", (self.head,)
        yield "ffn_gate.weight", "mlp.gate_proj.weight", (self.intermediate, self.hidden)
        yield "ffn_up.weight", "mlp.up_proj.weight", (self.intermediate, self.hidden)
        yield "ffn_down.weight", "mlp.down_proj.weight", (self.hidden, self.intermediate)


@attrs.frozen
class _Loader:
    """Dequantises one tensor when called; ``heads`` > 0 undoes the interleaving of that many."""

    tensor: Tensor
    heads: int

    def __call__(self) -> Floats:
        rows = self.tensor.dequantised()
        if not self.heads:
            return rows
        pairs = rows.reshape(self.heads, -1, 2, rows.shape[-1])
        return pairs.swapaxes(1, 2).reshape(rows.shape)


def _family(metadata: Metadata) -> tuple[str, Family]:
    name = metadata.text("general.architecture")
    if name not in FAMILIES:
        raise ModelError(
            f"GGUF models of the family {name!r} are not supported "
            f"(supported: {', '.join(FAMILIES)})"
        )
    if metadata.values.get(f"{name}.expert_count", 0) != 0:
        raise ModelError(f"GGUF {name} models with a mixture of experts are not supported")
    scaling = metadata.values.get(f"{name}.rope.scaling.type", "none")
    if scaling != "none":
        raise ModelError(f"GGUF {name} models with rope scaling {scaling!r} are not supported")
    return name, FAMILIES[name]
