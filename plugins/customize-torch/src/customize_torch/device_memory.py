"""A device's own memory, as torch counts it. Knows nothing of what is in it."""

from __future__ import annotations

import torch


def take_peak(device: torch.device) -> int | None:
    """The most bytes of tensors at once since this was last asked; None on the processor."""
    if device.type != "cuda":
        return None
    peak = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return int(peak)
