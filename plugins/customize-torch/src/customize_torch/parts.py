"""A loaded model as the engine takes it apart. Knows not how it was loaded."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from torch import nn

from customize_torch.few_rows import Joint


@attrs.frozen(eq=False)
class Parts:
    """model: every parameter, by the names of its file.

    decoder: tokens and positions [1, N] to the last hidden states [1, N, C], or [1, T, C] at the
        places [T] that are its third argument.
    head: the output embedding, without a bias.
    layers: those of the decoder whose activations may be made again instead of kept.
    joints: all linear layers but the head, where the decoder computes them together.
    """

    model: nn.Module
    decoder: nn.Module
    head: nn.Linear
    layers: Sequence[nn.Module]
    joints: Sequence[Joint] = ()
