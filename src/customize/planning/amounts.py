"""From counted work to floating point operations. Knows neither devices nor money.

A multiplication and an addition are two operations. A matrix product of the forward pass costs
2 P a token for P weights; LoRA's backward pass as much again, since no gradient of the frozen
weights is made, and full fine-tuning's twice as much (arXiv 2001.08361, table 1).
"""

from __future__ import annotations

from customize.interfaces.session import Adapter, LoRA
from customize.models.shape import ModelShape
from customize.planning.counting import Work

_ATTENTION_BACKWARD = 2.5  # of the forward pass: its scores are made again (arXiv 2307.08691)


def forward_flops(shape: ModelShape, work: Work) -> float:
    """Of a forward pass of the base."""
    return (
        2.0 * shape.linear_parameters * work.computed + _head(shape, work) + _attention(shape, work)
    )


def training_flops(shape: ModelShape, adapter: Adapter, work: Work) -> float:
    """Of forward and backward together."""
    products = 2.0 * shape.linear_parameters * work.computed
    attention = (1 + _ATTENTION_BACKWARD) * _attention(shape, work)
    if isinstance(adapter, LoRA):
        own = 6.0 * shape.trainable(adapter) * work.computed
        return 2 * products + 2 * _head(shape, work) + attention + own
    return 3 * products + 3 * _head(shape, work) + attention


def drawing_flops(shape: ModelShape, read: float, drawn: float) -> float:
    """Of reading prompts and sampling tokens."""
    head = 2.0 * shape.hidden * shape.vocabulary * drawn
    return 2.0 * shape.linear_parameters * (read + drawn) + head


def _head(shape: ModelShape, work: Work) -> float:
    return 2.0 * shape.hidden * shape.vocabulary * work.scored


def _attention(shape: ModelShape, work: Work) -> float:
    """Scores and their weighted sum, each half of T² since nothing looks ahead."""
    return 2.0 * shape.num_layers * shape.attention_width * work.squares
