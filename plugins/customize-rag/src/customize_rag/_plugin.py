"""What this distribution offers. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator

import customize


@customize.hookimpl
def customize_methods() -> Iterator[customize.MethodSpec]:
    """The one method."""
    yield customize.MethodSpec(
        name="rag",
        target="customize_rag.method:RAG",
        summary="Answer from documents: quote, cite, or say that they do not tell.",
        data="documents",
        needs=frozenset({"forward_backward"}),
    )


@customize.hookimpl
def customize_scorers() -> Iterator[customize.ScorerSpec]:
    """What an answer from passages is worth."""
    yield customize.ScorerSpec(
        name="grounded",
        target="customize_rag.scorer:Grounded",
        summary="Right, rightly cited, verbatim; silent where the passages are.",
    )
