"""Text in which the same word is the same letters, whatever its case, accents and typography."""

from __future__ import annotations

import re
import unicodedata

_PERHAPS_MARKS = re.compile("[\u0300-\U0010ffff]")  # none of Unicode's marks comes before


def folded(text: str) -> str:
    """Without case, accents, ligatures and other forms of letters (Unicode's NFKD)."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text)
    bare = _PERHAPS_MARKS.sub(lambda one: "" if unicodedata.combining(one[0]) else one[0], apart)
    return unicodedata.normalize("NFC", bare).casefold()
