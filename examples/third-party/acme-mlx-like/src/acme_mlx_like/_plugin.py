"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_backends() -> Iterator[customize.BackendSpec]:
    """The one backend; "auto" takes it last."""
    yield customize.BackendSpec(
        name="mlx-like",
        target="acme_mlx_like.backend:MLXLike",
        summary="A toy: LoRA on a llama without layers, in numpy.",
        priority=-1,
    )
