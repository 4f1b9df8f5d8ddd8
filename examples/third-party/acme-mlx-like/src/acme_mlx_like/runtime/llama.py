"""A llama's forward pass, with LoRA where it is given. Knows no training.

Shape legend: T, S tokens, D width, V vocabulary, H heads, K key heads, G heads a key head.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from customize import ModelError, ModelFolder
from safetensors import safe_open

from acme_mlx_like.runtime import arrays
from acme_mlx_like.runtime.arrays import Numbers, Value, einsum

LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_PLAIN = {"model_type": "llama", "hidden_act": "silu", "attention_bias": False, "mlp_bias": False}
_ROPE = {"rope_type": "default", "partial_rotary_factor": 1.0}


class Llama:
    """The weights of a folder, in float64."""

    def __init__(self, model: ModelFolder) -> None:
        self.config = json.loads((model.path / "config.json").read_text("utf-8"))
        rope = self.config.get("rope_parameters") or self.config.get("rope_scaling") or {}
        asked = {**_PLAIN, **_ROPE, **self.config, **rope}
        if other := [k for k, plain in {**_PLAIN, **_ROPE}.items() if asked[k] != plain]:
            raise ModelError(f"{model.name} has {other[0]} {asked[other[0]]!r}: mlx-like has not")
        self._theta = asked.get("rope_theta", 10000.0)
        self.weights: dict[str, Numbers] = {}
        for file in sorted(model.path.glob("*.safetensors")):
            with safe_open(file, "numpy") as tensors:
                for name in tensors.keys():
                    if tensors.get_slice(name).get_dtype() != "F32":
                        raise ModelError(f"{model.name} is not in float32: convert its weights")
                    self.weights[name] = tensors.get_tensor(name).astype(np.float64)
        self.vocabulary = len(self.weights["model.embed_tokens.weight"])
        self.linear = [n[:-7] for n in self.weights if n[:-7].endswith(LINEAR)]

    def logprobs(
        self, tokens: npt.NDArray[np.int32], lora: Mapping[str, Value], scale: float
    ) -> Value:
        """Of every token but the first, given those before it: [T - 1]."""

        def linear(x_TD: Value, name: str) -> Value:
            y_TD = einsum("td,ed->te", x_TD, self.weights[f"{name}.weight"])
            if f"{name}.lora_A.weight" not in lora:
                return y_TD
            a, b = (lora[f"{name}.lora_{side}.weight"] for side in "AB")
            return arrays.add(y_TD, einsum("td,rd,er,->te", x_TD, a, b, np.asarray(scale)))

        embedded = self.weights["model.embed_tokens.weight"]
        x: Value = embedded[tokens[:-1]]
        for layer in range(self.config["num_hidden_layers"]):
            at = f"model.layers.{layer}"
            h = self._norm(x, f"{at}.input_layernorm")
            q, k, v = (linear(h, f"{at}.self_attn.{name}_proj") for name in "qkv")
            x = arrays.add(x, linear(self._attention(q, k, v), f"{at}.self_attn.o_proj"))
            h = self._norm(x, f"{at}.post_attention_layernorm")
            gate, up = (linear(h, f"{at}.mlp.{name}_proj") for name in ("gate", "up"))
            h = einsum("ti,ti->ti", arrays.apply(gate, _silu, _silu_slope), up)
            x = arrays.add(x, linear(h, f"{at}.mlp.down_proj"))
        head = self.weights.get("lm_head.weight", embedded)
        logits = einsum("td,vd->tv", self._norm(x, "model.norm"), head)
        return arrays.log_likelihood(logits, tokens[1:])

    def _norm(self, x: Value, name: str) -> Value:
        eps = self.config["rms_norm_eps"]
        mean = einsum("td,td,->t", x, x, np.asarray(1 / arrays.raw(x).shape[1]))
        inverse = arrays.apply(
            mean, lambda m: (m + eps) ** -0.5, lambda m: -0.5 * (m + eps) ** -1.5
        )
        return einsum("td,t,d->td", x, inverse, self.weights[f"{name}.weight"])

    def _attention(self, q: Value, k: Value, v: Value) -> Value:
        t, heads = len(arrays.raw(q)), self.config["num_attention_heads"]
        keys = self.config.get("num_key_value_heads", heads)
        size = arrays.raw(q).shape[1] // heads
        q, k, v = (arrays.reshape(x, t, -1, size) for x in (q, k, v))
        q, k = self._rotated(q), self._rotated(k)
        q = arrays.reshape(q, t, keys, heads // keys, size)
        scores = einsum("tkgd,skd,->kgts", q, k, np.asarray(size**-0.5))
        later = np.triu(np.full((t, t), -np.inf), 1)
        weights = arrays.softmax(arrays.add(scores, later))
        return arrays.reshape(einsum("kgts,skd->tkgd", weights, v), t, heads * size)

    def _rotated(self, x_THD: Value) -> Value:
        """Rotary positions (arXiv 2104.09864), halves as pairs."""
        t, _, size = arrays.raw(x_THD).shape
        angles = np.outer(np.arange(t), self._theta ** (-np.arange(0, size, 2) / size))
        turn = np.roll(np.eye(size), size // 2, 1) * np.repeat([1.0, -1.0], size // 2)[:, None]
        sin, cos = (np.tile(part, 2) for part in (np.sin(angles), np.cos(angles)))
        return arrays.add(
            einsum("thd,td->thd", x_THD, cos), einsum("thd,de,te->the", x_THD, turn, sin)
        )


def _silu(x: Numbers) -> Numbers:
    return np.asarray(x / (1 + np.exp(-x)))


def _silu_slope(x: Numbers) -> Numbers:
    s = 1 / (1 + np.exp(-x))
    return np.asarray(s * (1 + x * (1 - s)))
