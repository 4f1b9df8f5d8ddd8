"""Any causal model of transformers, its attention replaced by the plan in force.

Imports transformers, which takes seconds: only what is loaded by it pays for that. Refuses what a
plan would compute wrongly. Knows no session.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM
from transformers.masking_utils import AttentionMaskInterface
from transformers.modeling_layers import GradientCheckpointingLayer

from customize import ModelError, ModelFolder
from customize_torch.attention import plan_in_force
from customize_torch.holding import PLAIN
from customize_torch.kernels import Place
from customize_torch.parts import Parts

_log = logging.getLogger(__name__)
_PLAN = "customize_plan"
# What a plan does not do, by the key of a configuration that asks for it.
_REFUSED = (
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "logits_scaling",
    "logit_scale",
    "num_local_experts",
    "num_experts",
)
_ATTENTION = frozenset({"full_attention", "sliding_attention"})


def load(model: ModelFolder, place: Place) -> Parts:
    """The model through transformers.

    Raises:
        ModelError: it is not whole, or needs what a plan does not do.
    """
    # What is to be quantized is taken as its file has it.
    loaded = _from_pretrained(model, place.dtype if place.base == PLAIN else "auto")
    _refuse_architecture(model, loaded)
    if place.base == PLAIN:
        loaded.to(place.device)
    head = loaded.get_output_embeddings()
    if head is None or getattr(head, "bias", None) is not None:
        raise ModelError(f"{model.name} has no plain output embedding: it is not supported")
    decoder = loaded.get_decoder()
    layers = [m for m in decoder.modules() if isinstance(m, GradientCheckpointingLayer)]
    decoder.forward = _hidden_alone(decoder.forward)
    return Parts(loaded, decoder, head, layers)


def _hidden_alone(forward: Callable[..., Any]) -> Callable[..., Tensor]:
    def hidden_of(input_ids: Tensor, position_ids: Tensor, kept_T: Tensor | None) -> Tensor:
        out = forward(input_ids=input_ids, position_ids=position_ids, use_cache=False)
        hidden: Tensor = out.last_hidden_state
        return hidden if kept_T is None else hidden[:, kept_T]

    return hidden_of


def _from_pretrained(model: ModelFolder, dtype: torch.dtype | str) -> Any:  # a PreTrainedModel
    try:
        config = AutoConfig.from_pretrained(model.path, local_files_only=True)
        _refuse(model, config)
        loaded, told = AutoModelForCausalLM.from_pretrained(
            model.path,
            dtype=dtype,
            attn_implementation=_PLAN,
            local_files_only=True,
            output_loading_info=True,
        )
    except ModelError:
        raise
    # A configuration is a stranger's: transformers raises whatever its code runs into.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ModelError(f"{model.name} cannot be loaded by transformers: {reason}") from error
    _check_whole(model, told)
    return loaded


def _refuse_architecture(model: ModelFolder, loaded: Any) -> None:
    """Refuse what a plan cannot keep apart, or does not reach: the numbers would be wrong."""
    kind = loaded.config.model_type
    if not loaded._supports_attention_backend:
        raise ModelError(
            f"{model.name} ({kind}) computes its attention in a way of its own, which this engine "
            "cannot replace: use a model whose attention transformers lets one replace"
        )
    others = {*(getattr(loaded.config, "layer_types", None) or ())} - _ATTENTION
    if loaded._is_stateful or others:
        what = f" ({', '.join(sorted(others))})" if others else ""
        raise ModelError(
            f"{model.name} ({kind}) has layers beside attention that carry a state from token to "
            f"token{what}, which this engine does not do yet"
        )


def _check_whole(model: ModelFolder, told: Mapping[str, Any]) -> None:
    """Refuse what transformers would fill with random numbers; tell what it leaves aside."""
    if missing := sorted(told["missing_keys"]):
        raise ModelError(
            f"{model.name} lacks {len(missing)} of the tensors its config.json implies "
            f"({', '.join(missing[:3])}): its files are not all there, or the config is not theirs"
        )
    if unexpected := sorted(told["unexpected_keys"]):
        _log.warning(
            "%s holds %d tensors its architecture does not use (%s): they are left aside",
            model.name,
            len(unexpected),
            ", ".join(unexpected[:3]),
        )


def _refuse(model: ModelFolder, config: object) -> None:
    asked = [key for key in _REFUSED if getattr(config, key, None) not in (None, 1, 1.0)]
    if asked:
        kind = getattr(config, "model_type", "?")
        raise ModelError(
            f"{model.name} ({kind}) needs {', '.join(asked)}, which this engine does not do yet"
        )


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,  # what transformers passes to every attention: dropout, positions, causality
) -> tuple[Tensor, None]:
    if softcap is not None or s_aux is not None:
        asked = "attention soft-capping" if softcap is not None else "attention sinks"
        raise ModelError(f"{type(module).__name__} needs {asked}, which this engine does not do")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    layer = int(module.layer_idx)
    out = plan_in_force().attend(layer, query, key, value, scale, sliding_window or 0)
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(_PLAN, _attend)
AttentionMaskInterface.register(_PLAN, lambda *args, **kwargs: None)
