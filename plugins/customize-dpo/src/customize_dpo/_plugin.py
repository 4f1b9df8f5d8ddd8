"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_methods() -> Iterator[customize.MethodSpec]:
    """The one method."""
    yield customize.MethodSpec(
        name="dpo",
        target="customize_dpo.method:DPO",
        summary="Direct preference optimisation, on pairs of a chosen and a rejected answer.",
        data="preference",
        needs=frozenset({"forward_backward"}),
    )
