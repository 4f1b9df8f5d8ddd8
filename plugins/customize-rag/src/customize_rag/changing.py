"""Passages that say something else than before: another number, or no answer. Knows texts alone."""

from __future__ import annotations

import attrs
import numpy as np

from customize import find_answer
from customize_rag.evidence import sentences
from customize_rag.pairs import Pair


def changed(pair: Pair, rng: np.random.Generator) -> Pair:
    """The pair with another number in answer and quote; the same where there is no number.

    No digit grows, so that a time stays a time and a date a date.
    """
    answer = "".join(_digit(c, place, rng) for place, c in enumerate(pair.answer))
    [(start, end), *_] = find_answer(pair.answer, pair.quote) or [(0, 0)]
    if end == 0:
        return pair
    quote = f"{pair.quote[:start]}{answer}{pair.quote[end:]}"
    return attrs.evolve(pair, answer=answer, quote=quote)


def without(quote: str, text: str) -> str:
    """The text without the sentence that the quote is of."""
    for start, end in sentences(text):
        if quote in text[start:end]:
            return f"{text[:start]}{text[end:].lstrip()}".strip()
    return text.replace(quote, "").strip()


def _digit(character: str, place: int, rng: np.random.Generator) -> str:
    if not character.isascii() or not character.isdigit() or character == "0":
        return character
    return str(int(rng.integers(1, int(character) + 1)))
