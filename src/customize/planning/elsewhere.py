"""What training holds on a device that is not here: in bf16, and with as little kept as gives the
same result. Knows no backend, and nothing that this machine has shown.
"""

from __future__ import annotations

from customize.interfaces.session import Adapter, LoRA
from customize.models.shape import ModelShape

_SIZE = 2  # bytes of a number in bf16
_TRAINED = 4 + 4 + 8  # bytes of a trained parameter: its master, its gradient, its moments
_POSITIONS = 256  # whose logits are held at once, and their gradient, in float32
_RUNTIME = 0.5e9  # what a device's own libraries take


def weight_bytes(shape: ModelShape) -> float:
    """Which each token that is drawn reads once, for all rows together."""
    return float(_SIZE * shape.num_parameters)


def least_bytes(shape: ModelShape, adapter: Adapter, largest: int) -> float:
    """Bytes, with ``largest`` tokens computed at once.

    A layer's inputs are kept for all layers, and the rest of one layer at a time is made again.
    """
    trained = shape.trainable(adapter)
    rounded = trained if isinstance(adapter, LoRA) else 0
    attention = 2 * shape.attention_width + 2 * shape.key_value_width
    a_layer = 4 * shape.hidden + attention + 3 * shape.intermediate
    activations = largest * (shape.num_layers * shape.hidden + a_layer)
    head = 2 * 4 * _POSITIONS * shape.vocabulary
    bf16 = _SIZE * (shape.num_parameters + rounded + activations)
    return _RUNTIME + float(bf16 + _TRAINED * trained + head)
