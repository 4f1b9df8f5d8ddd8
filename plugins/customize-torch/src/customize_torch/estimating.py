"""What training will hold in memory, from a model's shape. Imports no torch.

Counted, not guessed, wherever it can be; what lies in holes was measured (``benchmarks/plan.py``
holds it against runs).
"""

from __future__ import annotations

from collections.abc import Iterator

from customize import Adapter, LoRA, ModelShape, Smaller
from customize_torch.holding import PLAIN, weight_bytes

RUNTIME = 420e6  # torch, transformers and Python themselves
_MASTER, _GRADIENT, _MOMENTS = 4, 4, 8  # bytes a trained parameter
SHARE = 0.6  # of the memory that is free that kept activations may take
SPREAD = 1.5  # of kept activations on a processor, whose C library leaves holes between them
_POSITIONS = 256  # that the head computes at once at least
_COPIES = 3  # of logits, while a token is drawn
# A token that waits in the cache takes about a sixteenth of what its activations take in training,
# so sampling fits where training does. The rows are bounded for their logits over the vocabulary.
CACHED, ROWS = 16, 128


def training_bytes(
    shape: ModelShape,
    adapter: Adapter,
    tokens: float,
    size: int,
    free: float | None,
    recompute: str,
    logits: int = 0,
    base: str = PLAIN,
    spread: float = 1.0,
) -> dict[str, float]:
    """By what holds them.

    tokens: computed together. size: bytes of a number. free: before anything is loaded.
    logits: numbers that the head may hold at once, beside those of a few positions.
    base: how the weights are held. spread: of kept activations, the room that they take over their
    bytes.
    """
    trained = shape.trainable(adapter)
    rounded = trained * size if isinstance(adapter, LoRA) else 0
    found = {
        "weights": weight_bytes(shape, base, size),
        "adapter and optimizer": float(trained * (_MASTER + _GRADIENT + _MOMENTS) + rounded),
        "head": 2.0
        * 4
        * min(max(logits, _POSITIONS * shape.vocabulary), tokens * shape.vocabulary),
        "runtime": RUNTIME,
    }
    a_token = (spread * size * numbers for numbers in (_kept(shape), _recomputed(shape)))
    kept, little = (tokens * num_bytes for num_bytes in a_token)
    room = None if free is None else SHARE * (free - sum(found.values()))
    short = recompute == "auto" and room is not None and kept > room
    found["activations"] = little if recompute == "always" or short else kept
    return found


def sampling_bytes(
    shape: ModelShape, rows: int, tokens: int, size: int, budget: int, lays_out: bool
) -> dict[str, float]:
    """Of the most rows and tokens that are drawn at once; of more, as many as there is room for.

    lays_out: whether the weights are copied, as the processor reads them.
    """
    rows, tokens = min(rows, ROWS), min(tokens, CACHED * budget)
    a_token = 2.0 * shape.num_layers * shape.key_value_width * size
    found = {
        "keys and values": 2 * tokens * a_token,  # rows that go on are copied beside the others
        "logits": _COPIES * 4.0 * rows * shape.vocabulary,
    }
    laid_out = (shape.linear_parameters + shape.hidden * shape.vocabulary) * size
    return {"laid out": float(laid_out), **found} if lays_out else found


def changes(token_budget: int, recompute: str, base: str, largest: int) -> Iterator[Smaller]:
    """What makes training smaller, of the options that every backend of this engine has."""
    if token_budget > largest:
        yield Smaller("token_budget", largest, "the same result, a little slower")
    if recompute != "always":
        yield Smaller("recompute", "always", "the same bits, a quarter to a third slower")
    if base == PLAIN:
        told = "the base in 8 bits, rounded, and slower"
        yield Smaller("base", "int8", told, exact=False)
    if base in (PLAIN, "int8"):
        told = "the base in 4 bits, rounded more coarsely, and slower"
        yield Smaller("base", "nf4", told, exact=False)


def _kept(shape: ModelShape) -> float:
    """Numbers that autograd keeps for a token."""
    return shape.num_layers * _layer(shape)


def _layer(shape: ModelShape) -> float:
    attention = 2 * shape.attention_width + 2 * shape.key_value_width
    return 4.0 * shape.hidden + attention + 3.0 * shape.intermediate


def _recomputed(shape: ModelShape) -> float:
    """The same where only the layers' inputs are kept, and one layer at a time is made again."""
    return shape.num_layers * shape.hidden + _layer(shape)
