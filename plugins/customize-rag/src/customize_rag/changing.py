"""Passages that say something else than before: another number, one that does not hold, no answer.

Knows texts alone.
"""

from __future__ import annotations

import attrs
import numpy as np

from customize import find_answer
from customize_rag.evidence import ENDS, holds, sentences
from customize_rag.pairs import Pair

_NO_LONGER = (
    "Until {year}: {x}.",
    "Until last year: {x}.",
    "As it was in {year}: {x}.",
    "An older edition of this page says: {x}.",
    "Before the last change: {x}.",
    "No longer valid: {x}.",
)
_WRONG = (
    "Often told, and wrong: {x}.",
    "A leaflet says by mistake: {x}.",
    "Not true, whatever others say: {x}.",
    "Misprinted elsewhere as: {x}.",
    "This is false: {x}.",
    "Some write, without any ground: {x}.",
)


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


def disputed(pair: Pair, text: str, rng: np.random.Generator) -> str | None:
    """The sentence that the quote is, with another number, as what held once or is called wrong.

    It does not hold the answer. None where the quote is a part of its sentence, or has no number
    that could be another.
    """
    if pair.quote not in (text[start:end].rstrip(ENDS) for start, end in sentences(text)):
        return None
    form = str(rng.choice(_NO_LONGER if rng.random() < 0.5 else _WRONG))
    said = form.format(year=rng.integers(2005, 2020), x=changed(pair, rng).quote)
    return None if pair.quote in said or holds(pair.answer, said) else said


def without(quote: str, text: str, instead: str = "") -> str:
    """The text without the sentence that the quote is of, or with another in its place."""
    for start, end in sentences(text):
        if quote in text[start:end]:
            rest = text[end:] if instead else text[end:].lstrip(" ")
            return f"{text[:start]}{instead}{rest}".strip()
    return text.replace(quote, instead).strip()


def beside(quote: str, text: str, said: str, rng: np.random.Generator) -> str:
    """The text with a sentence before or after the one that the quote is of."""
    [(start, end), *_] = [span for span in sentences(text) if quote in text[span[0] : span[1]]]
    both = [text[start:end], said]
    return f"{text[:start]}{' '.join(both if rng.random() < 0.5 else both[::-1])}{text[end:]}"


def _digit(character: str, place: int, rng: np.random.Generator) -> str:
    if not character.isascii() or not character.isdigit() or character == "0":
        return character
    return str(int(rng.integers(1, int(character) + 1)))
