"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_methods() -> Iterator[customize.MethodSpec]:
    """The one method."""
    yield customize.MethodSpec(
        name="example",
        target="acme_example.method:Example",
        summary="Learns the answers of chats.",
        data="chat",
        needs=frozenset({"forward_backward"}),
    )
