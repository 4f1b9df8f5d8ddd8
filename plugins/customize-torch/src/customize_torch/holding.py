"""How the frozen weights of a base's linear layers are held, and what that leaves of what the
engine can do. Imports no torch.

Embedding, head and norms are always held as they compute.
"""

from __future__ import annotations

from customize import ModelShape

PLAIN = "plain"
# What makes each of the others, by the name of its module and of the extra that installs it.
MAKERS = {"int8": "torchao", "nf4": "torchao", "bnb-nf4": "bitsandbytes"}
BASES = (PLAIN, *MAKERS)
HELP = (
    "How the frozen weights of the linear layers are held: plain, as they compute; int8, in 8 bits "
    "and a scale for each output row; nf4, in 4 bits with scales in 8, as QLoRA does (both by "
    "torchao); bnb-nf4, the same by bitsandbytes, which rounds scales otherwise. They are made "
    "whole for each product: much smaller, slower, for adapters alone, and another base than the "
    "plain one."
)
# Of the engine.
CAPABILITIES = frozenset(
    {
        "forward_backward",
        "sample",
        "distributions",
        "snapshot",
        "base",
        "save",
        "lora",
        "full",
        "stack",
        "peft",
        "serve",
    }
)
# Of what decides a run's bits.
MAY_CHANGE = frozenset({"token_budget"})
# All weights cannot be trained, and an adapter answers otherwise on the base that others load.
WITHOUT = frozenset({"full", "peft"})
NF4_BLOCK, NF4_SCALES = 64, 256  # weights with one scale; scales with one scale
_MAKING = 10  # bytes a weight on the way to its computing type


def capabilities_of(plain: frozenset[str], base: str) -> frozenset[str]:
    """What is left of the capabilities when the base is held so."""
    return plain if base == PLAIN else plain - WITHOUT


def numerics_of(base: str) -> dict[str, str]:
    """What tells one base from another; a plain one needs no telling."""
    return {} if base == PLAIN else {"base": base}


def weight_bytes(shape: ModelShape, base: str, size: int) -> float:
    """All of a base's weights, and the largest that is made whole; size: bytes of a number."""
    if base == PLAIN:
        return float(shape.num_parameters * size)
    held = sum(_bytes(*layer, base) for layer in shape.linear.values())
    largest = max((inputs * outputs for inputs, outputs in shape.linear.values()), default=0)
    rest = (shape.num_parameters - shape.linear_parameters) * size
    return held + rest + largest * (size + _MAKING)


def _bytes(inputs: int, outputs: int, base: str) -> float:
    weights = inputs * outputs
    if base == "int8":
        return weights + 4.0 * outputs
    return weights / 2 + weights / NF4_BLOCK * (1 + 4 / NF4_SCALES)
