"""Where a text holds an answer. Knows texts alone."""

from __future__ import annotations

import re

from customize.retrieval.sentences import Span


def find_answer(answer: str, text: str) -> list[Span]:
    """Where the answer stands on its own: ``6`` is not in ``16``, ``6:30`` or ``$6``."""
    words = r"\s+".join(re.escape(word) for word in answer.split())
    if not words:
        return []
    alone = rf"(?<![\w$€£.,:/-])(?:{words})(?!\w|%|[.,:/-]\w)"
    if not answer[0].isalnum():
        alone = rf"(?:{words})(?!\w|[.,:/-]\w)"
    return [found.span() for found in re.finditer(alone, text, re.IGNORECASE)]
