"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_methods() -> Iterator[customize.MethodSpec]:
    """The one method."""
    yield customize.MethodSpec(
        name="kto",
        target="acme_kto.method:KTO",
        summary="KTO: learn from answers that were liked or disliked, one by one.",
        data="chat",
        needs=frozenset({"forward_backward", "snapshot"}),
    )
