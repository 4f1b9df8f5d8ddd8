"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_methods() -> Iterator[customize.MethodSpec]:
    """The one method."""
    yield customize.MethodSpec(
        name="grpo",
        target="customize_grpo.method:GRPO",
        summary="Policy gradients from groups of episodes, judged by rewards or environments.",
        data="prompt",
        needs=frozenset({"forward_backward", "sample"}),
    )
