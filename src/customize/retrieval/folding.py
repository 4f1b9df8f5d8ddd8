"""Text in which the same word is the same letters, whatever its case, accents and typography."""

from __future__ import annotations

import unicodedata


def folded(text: str) -> str:
    """Without case, accents, ligatures and other forms of letters (Unicode's NFKD).

    Letters that Unicode does not take apart, as \u00f8 and \u0142, stay as they are.
    """
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text)
    for mark in filter(unicodedata.combining, set(apart)):
        apart = apart.replace(mark, "")
    return unicodedata.normalize("NFC", apart).casefold()
