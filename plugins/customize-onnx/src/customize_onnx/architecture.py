"""What a decoder is made of, read from its config.json. Knows no graph and no weights.

What is not computed is refused by name here, before any work.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from customize import ExportError
from customize_onnx.rotary import Rope

FAMILIES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
    "phi3": "Phi3ForCausalLM",
}
_GEMMAS = ("gemma", "gemma3_text")
_WINDOWED = ("mistral", "phi3")  # in every layer
_ACTIVATIONS = {"silu": "silu", "gelu_pytorch_tanh": "gelu"}
_NOT_COMPUTED = (
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "quantization_config",
    "use_bidirectional_attention",
    "num_local_experts",
    "num_experts",
)


@attrs.frozen
class Attention:
    """Of one layer. window: tokens that are looked back on, the own one too; 0 for all.

    onnxruntime 1.23 and before look one further back.
    """

    rope: Rope
    window: int


@attrs.frozen
class Linear:
    """A product of the graph: the model's layers that read the same input, side by side.

    parts: how many outputs each of the model's layers has, by its name.
    """

    name: str
    inputs: int
    parts: Mapping[str, int]

    @property
    def outputs(self) -> int:
        return sum(self.parts.values())


@attrs.frozen(kw_only=True)
class Architecture:
    """scale: of attention scores. norm_offset: what is added to a norm's weights.

    has_head_norms: queries and keys are normed. has_output_norms: so is what attention and MLP
    give. is_fused: the model itself holds q, k and v as one layer, and gate and up.
    """

    family: str
    vocabulary: int
    channels: int
    inner: int
    heads: int
    key_heads: int
    head_dim: int
    context: int
    eps: float
    scale: float
    activation: str
    is_tied: bool
    layers: tuple[Attention, ...]

    @property
    def norm_offset(self) -> float:
        return 1.0 if self.family in _GEMMAS else 0.0

    @property
    def embedding_scale(self) -> float:
        return self.channels**0.5 if self.family in _GEMMAS else 1.0

    @property
    def has_head_norms(self) -> bool:
        return self.family in ("qwen3", "gemma3_text")

    @property
    def has_output_norms(self) -> bool:
        return self.family == "gemma3_text"

    @property
    def is_fused(self) -> bool:
        return self.family == "phi3"

    @property
    def head_sizes(self) -> tuple[int, int, int]:
        """Outputs of q, k and v."""
        keys = self.key_heads * self.head_dim
        return self.heads * self.head_dim, keys, keys

    @property
    def linears(self) -> tuple[Linear, ...]:
        """Every product of the graph but the head."""
        layers = range(len(self.layers))
        return tuple(one for number in layers for one in self.linears_of(number).values())

    def linears_of(self, number: int) -> dict[str, Linear]:
        """The products of a layer: qkv, o, gate_up and down."""
        queries, keys, values = self.head_sizes
        attention, mlp = (f"model.layers.{number}.{block}" for block in ("self_attn", "mlp"))
        of_heads = {"q": queries, "k": keys, "v": values}
        return {
            "qkv": self._joined(attention, "qkv", of_heads),
            "o": _alone(f"{attention}.o_proj", queries, self.channels),
            "gate_up": self._joined(mlp, "gate_up", {"gate": self.inner, "up": self.inner}),
            "down": _alone(f"{mlp}.down_proj", self.inner, self.channels),
        }

    def _joined(self, block: str, whole: str, sizes: Mapping[str, int]) -> Linear:
        name = f"{block}.{whole}_proj"
        if self.is_fused:
            return _alone(name, self.channels, sum(sizes.values()))
        parts = {f"{block}.{part}_proj": size for part, size in sizes.items()}
        return Linear(name, self.channels, parts)


def _alone(name: str, inputs: int, outputs: int) -> Linear:
    return Linear(name, inputs, {name: outputs})


def read_architecture(folder: Path) -> Architecture:
    """The architecture of a model's folder.

    Raises:
        ExportError: it is not one of ours, or needs what is not computed here.
    """
    config = json.loads((folder / "config.json").read_text("utf-8"))
    family = config.get("model_type")
    classes = config.get("architectures") or [FAMILIES.get(family)]
    if family not in FAMILIES or classes != [FAMILIES[family]]:
        raise ExportError(
            f"{family} ({', '.join(map(str, classes))}) cannot be exported to ONNX: there are "
            f"{', '.join(FAMILIES)}"
        )
    _refuse(config, family)
    if config.get("partial_rotary_factor", 1.0) != 1.0:
        raise ExportError(f"{family} whose heads turn in part cannot be exported to ONNX")
    heads = _said(config, "num_attention_heads")
    head_dim = config.get("head_dim") or _said(config, "hidden_size") // heads
    if head_dim % 16:
        raise ExportError(
            f"heads of {head_dim} dimensions cannot be exported to ONNX: onnxruntime turns heads "
            "of a multiple of 16"
        )
    return Architecture(
        family=family,
        vocabulary=_said(config, "vocab_size"),
        channels=_said(config, "hidden_size"),
        inner=_said(config, "intermediate_size"),
        heads=heads,
        key_heads=config.get("num_key_value_heads") or heads,
        head_dim=head_dim,
        context=_said(config, "max_position_embeddings"),
        eps=_said(config, "rms_norm_eps"),
        scale=(config.get("query_pre_attn_scalar") or head_dim) ** -0.5,
        activation=_activation(config, family),
        is_tied=config.get("tie_word_embeddings", family in _GEMMAS),
        layers=_layers(config, family),
    )


def _said(config: Mapping[str, Any], key: str) -> Any:  # a number, as config.json has it
    if config.get(key) is None:
        raise ExportError(f"the model's config.json has no {key}: save it with transformers again")
    return config[key]


def _refuse(config: Mapping[str, Any], family: str) -> None:
    for key in _NOT_COMPUTED:
        if config.get(key):
            raise ExportError(f"{family} with {key} cannot be exported to ONNX: it is not computed")


def _activation(config: Mapping[str, Any], family: str) -> str:
    name = config.get("hidden_activation") or _said(config, "hidden_act")
    if family == "gemma" and name == "gelu":
        name = "gelu_pytorch_tanh"  # the first configurations said so and meant this
    if name not in _ACTIVATIONS:
        raise ExportError(
            f"{family} with the activation {name!r} cannot be exported to ONNX: there are "
            f"{', '.join(_ACTIVATIONS)}"
        )
    return _ACTIVATIONS[name]


def _layers(config: Mapping[str, Any], family: str) -> tuple[Attention, ...]:
    window = config.get("sliding_window", 4096 if family == "mistral" else None) or 0
    kinds = _kinds(config, family)
    made = {
        kind: Attention(_rope(config, family, kind), window if kind == "sliding_attention" else 0)
        for kind in set(kinds)
    }
    return tuple(made[kind] for kind in kinds)


def _kinds(config: Mapping[str, Any], family: str) -> list[str]:
    """How each layer attends, by transformers' names."""
    number = _said(config, "num_hidden_layers")
    told: list[str] | None = config.get("layer_types")
    if family in _WINDOWED:
        return ["sliding_attention"] * number
    if family in ("qwen2", "qwen3") and not config.get("use_sliding_window"):
        return ["full_attention"] * number
    if told is None and family == "gemma3_text":
        every = config.get("sliding_window_pattern", 6)
        told = [
            "full_attention" if i % every == 0 else "sliding_attention" for i in _from_1(number)
        ]
    if told is None and family in ("qwen2", "qwen3"):
        raise ExportError(
            f"the {family} model's config.json has use_sliding_window and no layer_types: save it "
            "with transformers again"
        )
    kinds = told or ["full_attention"] * number
    if unknown := {*kinds} - {"full_attention", "sliding_attention"}:
        raise ExportError(
            f"{family} with layers of {', '.join(sorted(unknown))} cannot be exported to ONNX: "
            "there are full_attention and sliding_attention"
        )
    return kinds


def _from_1(number: int) -> range:
    return range(1, number + 1)


def _rope(config: Mapping[str, Any], family: str, kind: str) -> Rope:
    said = config.get("rope_parameters") or {}
    if kind in said:  # one for each kind of layer
        return Rope.read(said[kind], None, family)
    if said:
        return Rope.read(said, config.get("rope_theta"), family)
    # As configurations were written before rope_parameters; 10000 where they said nothing.
    if family == "gemma3_text" and kind == "sliding_attention":
        return Rope.read({}, config.get("rope_local_base_freq", 10_000.0), family)
    scaling = config.get("rope_scaling") or {}
    default = 1_000_000.0 if family == "gemma3_text" else 10_000.0
    return Rope.read(scaling, config.get("rope_theta", default), family)
