"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_methods() -> Iterator[customize.MethodSpec]:
    """The one method."""
    yield customize.MethodSpec(
        name="sft",
        target="customize_sft.method:SFT",
        summary="Supervised fine-tuning on the assistant's tokens.",
        data="chat",
        needs=frozenset({"forward_backward"}),
    )
