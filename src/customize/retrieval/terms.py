"""What an index looks for that leaves words to us: terms of a text, and of a question.

Knows no engine. Two texts that say the same word have a term in common, whatever its case, accents
and script.
"""

from __future__ import annotations

import itertools
import unicodedata

from customize.retrieval.folding import folded
from customize.retrieval.function_words import FUNCTION_WORDS
from customize.retrieval.grams import grams, grams_to_find, without_runs

# For ASCII alone, as most texts are, in much less time; a table has all 256 bytes.
_LOWER = bytes(ord(chr(code).lower()) if chr(code).isalnum() else 32 for code in range(128))
_LOWER += bytes(128)


def index_terms(text: str) -> list[str]:
    """Every term of a text, again where it recurs; none has a space in it.

    They are words without case and accents, characters and pairs of them of Korean and of scripts
    without spaces, and parts of names in code.
    """
    return [*_words(text), *grams_to_find(text)]


def query_terms(text: str) -> list[str]:
    """Each term of a question once, in its order, without the words that hold it together.

    Where it has no others, these are its terms.
    """
    terms = dict.fromkeys([*_words(text), *grams(text)])
    return [term for term in terms if term not in FUNCTION_WORDS] or list(terms)


def _words(text: str) -> list[str]:
    """Without case, accents and what is cut into grams."""
    if text.isascii():
        return text.encode().translate(_LOWER).decode().split()
    words = folded(without_runs(text))
    for other in itertools.filterfalse(_is_of_a_word, set(words)):
        words = words.replace(other, " ")
    return words.split()


def _is_of_a_word(character: str) -> bool:
    """Letters, digits, and marks, which are vowels where they are left."""
    return character.isalnum() or unicodedata.category(character).startswith("M")
