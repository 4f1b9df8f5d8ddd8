"""Pieces of what is not found as words between spaces: scripts without, Korean, names in code.

Pairs of characters for the first two, since most words of Chinese have two, and those of Korean
have endings; three for the names.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterator

from customize._scripts import KOREAN, UNSPACED

# What is cut into pieces.
RUNS = UNSPACED + KOREAN
_RUN = re.compile(rf"[{RUNS}]+")
# getUserName, max_tokens, os.path, std::vector; in prose hardly anything.
_CODE = re.compile(r"\b\w{0,60}(?:[a-z][A-Z]|\w_\w|\w\.[a-z]|\w::\w)[\w.:]{0,60}")
# What such a name has in it, looked for first: most texts have none.
_DOTTED = re.compile(r"\.[a-z]")
# [a-z][A-Z] in a tenth of the time: each letter becomes an a of its case.
_CASES = bytes.maketrans(string.ascii_letters.encode(), b"a" * 26 + b"A" * 26)
_MARK = "\ue000"  # keeps a piece of a name apart from a word of three letters


def without_runs(text: str) -> str:
    """The text, with a space in place of each run."""
    return text if text.isascii() else _RUN.sub(" ", unicodedata.normalize("NFC", text))


def grams(text: str) -> Iterator[str]:
    """The pieces of all runs and names in ``text``, in their order, again where they recur."""
    for run in _runs(text):
        yield from (run[i : i + 2] for i in range(max(1, len(run) - 1)))
    for name in _CODE.findall(text) if _may_name_code(text) else ():
        letters = re.sub(r"\W|_", "", name).casefold()
        yield from (_MARK + letters[i : i + 3] for i in range(len(letters) - 2))


def grams_to_find(text: str) -> Iterator[str]:
    """The same, and each character of a run: what is asked for may be one."""
    yield from grams(text)
    for run in _runs(text):
        yield from run if len(run) > 1 else ()


def _runs(text: str) -> list[str]:
    return [] if text.isascii() else _RUN.findall(unicodedata.normalize("NFC", text))


def _may_name_code(text: str) -> bool:
    if "_" in text or "::" in text or _DOTTED.search(text):
        return True
    return b"aA" in text.encode("ascii", "replace").translate(_CASES)
