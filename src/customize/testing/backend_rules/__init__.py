"""What a backend must do. Sees only the interface."""

from __future__ import annotations

MODULES = (
    "logprobs",
    "gradients",
    "losses",
    "optimizer",
    "sampling",
    "snapshots",
    "saving",
    "weights",
    "serving",
    "declaring",
    "settling",
    "errors",
)
