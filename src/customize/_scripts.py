"""Ranges of characters, for classes of regular expressions: how a script writes its words."""

from __future__ import annotations

# Scripts without spaces: Thai to Lao, Burmese, Khmer, Japanese, Chinese with its rare characters.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
KOREAN = "\uac00-\ud7a3"  # words have spaces between them, and endings
