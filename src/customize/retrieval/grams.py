"""Pieces of what is not written as words with spaces: scripts without, and names in code.

Pairs of characters for the first, since most words of Chinese have two; three for the second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

UNSPACED = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_RUN = re.compile(rf"[{UNSPACED}]+")
# getUserName, max_tokens, os.path, std::vector; in prose hardly anything.
_CODE = re.compile(r"\b\w{0,60}(?:[a-z][A-Z]|\w_\w|\w\.[a-z]|\w::\w)[\w.:]{0,60}")
# What such a name has in it, looked for first: most texts have none.
_DOTTED, _CAMEL = re.compile(r"\.[a-z]"), re.compile(r"[a-z][A-Z]")
_MARK = "\ue000"  # keeps a piece of a name apart from a word of three letters


def without_runs(text: str) -> str:
    """The text, with spaces where it is written without."""
    return _RUN.sub(" ", text)


def grams(text: str) -> Iterator[str]:
    """The pieces of all runs and names in ``text``, in their order, again where they recur."""
    if not text.isascii():
        for run in _RUN.findall(text):
            yield from (run[i : i + 2] for i in range(max(1, len(run) - 1)))
    for name in _CODE.findall(text) if _may_name_code(text) else ():
        letters = re.sub(r"\W|_", "", name).casefold()
        yield from (_MARK + letters[i : i + 3] for i in range(len(letters) - 2))


def _may_name_code(text: str) -> bool:
    signs = "_" in text or "::" in text
    return signs or bool(_DOTTED.search(text) or _CAMEL.search(text))
