"""Text from elsewhere, as a terminal may show it: what would steer it is shown. Knows no format."""

from __future__ import annotations

# What prints nothing and steers nothing: tabs, spaces that do not break or have a width of their
# own, and what joins or parts letters and emoji.
_HARMLESS = "\n\t\u00a0\u2009\u200a\u202f\u3000\u200c\u200d"


def printable(text: str, keeping: str = _HARMLESS) -> str:
    """The text with control characters escaped, and all else that is not seen but ``keeping``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keeping else repr(c)[1:-1] for c in text)
