"""What an index looks for that leaves words to us: terms of a text, and of a question.

Knows no engine. Two texts that say the same word have a term in common, whatever its case, accents
and script.
"""

from __future__ import annotations

import re
import unicodedata

from customize.retrieval.function_words import FUNCTION_WORDS
from customize.retrieval.grams import grams, without_runs

_WORD = re.compile(r"[^\W_]+")


def index_terms(text: str) -> list[str]:
    """Every term of a text, again where it recurs; none has a space in it.

    They are words without case and accents, pairs of characters of a script without spaces, and
    parts of names in code.
    """
    return [*_WORD.findall(_plain(without_runs(text))), *grams(text)]


def query_terms(text: str) -> list[str]:
    """Each term of a question once, in its order, without the words that hold it together.

    Where it has no others, these are its terms.
    """
    terms = dict.fromkeys(index_terms(text))
    return [term for term in terms if term not in FUNCTION_WORDS] or list(terms)


def _plain(text: str) -> str:
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text)
    whole = "".join(one for one in apart if not unicodedata.combining(one))
    return unicodedata.normalize("NFC", whole).casefold()
