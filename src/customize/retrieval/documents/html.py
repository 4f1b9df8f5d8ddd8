"""HTML to text: what a reader sees. Fetches nothing and runs nothing. Knows no file.

Hidden is what an element says so of itself, by its attribute or its own style; style sheets are not
looked at.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from html.parser import HTMLParser

from customize.retrieval.documents.draft import Draft
from customize.retrieval.documents.elements import BLOCKS, Elements
from customize.retrieval.documents.plain import cleaned, decoded

_FOREIGN = frozenset(("svg", "math"))
_UNSEEN = _FOREIGN | {"script", "style", "template", "title", "noscript", "iframe", "object"}
_ALWAYS_UNSEEN = _FOREIGN | {"script", "style"}  # the others only where their end is written
_INLINE = frozenset(
    (
        *("a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em"),
        *("font", "i", "img", "ins", "kbd", "label", "mark", "q", "s", "samp", "small", "span"),
        *("strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr"),
    )
)
# What ends a drawing or a formula that was left open.
_OUTSIDE = BLOCKS | (_INLINE - {"a", "font"}) | {"body", "br", "dd", "dt", "li"}
_HEADING = re.compile(r"h[1-6]")
_END = re.compile(r"</([a-z]+)", re.I)
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s{0,9}=\s{0,9}["']?([\w-]{1,40})""", re.I)
_HIDDEN = re.compile(r"(?:^|[;\s])(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.I)


def read_html(content: bytes) -> Draft:
    """What an HTML file says; its encoding is what it declares, else UTF-8.

    Raises:
        DataError: it is not in that encoding.
    """
    text = _text(content)
    page = _Page(text)
    page.feed(text)
    page.close()
    page.draft.end_block()
    return page.draft


def _text(content: bytes) -> str:
    declared = _CHARSET.search(content[:1024])
    if declared is None or declared[1].lower().startswith(b"utf"):
        return decoded(content)
    try:
        return cleaned(content.decode(declared[1].decode()))
    except (LookupError, UnicodeDecodeError):
        return decoded(content)


class _Page(HTMLParser):
    """A pass over the tags; how deep they lie within each other is nothing to it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.draft = Draft()
        self._unseen = ""  # the tag that hides what is in it
        self._depth = 0  # of that tag within itself
        self._ends = Counter(map(str.lower, _END.findall(text)))  # those to come
        self._elements = Elements()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if self._unseen and not (self._unseen in _FOREIGN and tag in _OUTSIDE):
            self._depth += tag == self._unseen
            return
        self._unseen = ""
        if tag in _UNSEEN and (tag in _ALWAYS_UNSEEN or self._ends[tag] > 0):
            self._unseen, self._depth = tag, 1
            return
        self._elements.begin(tag, _is_hidden(attrs))
        if self._elements.hide:
            return
        if tag in ("td", "th"):
            self.draft.say(" | ")
        elif tag not in _INLINE:
            self.draft.end_block()

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if not self._is_hiding and tag not in _INLINE:
            self.draft.end_block()

    def handle_endtag(self, tag: str) -> None:
        self._ends[tag] -= 1
        if self._unseen:
            self._depth -= tag == self._unseen
            if not self._depth or tag in ("body", "html"):
                self._unseen = ""
            return
        was_hidden = self._elements.hide
        self._elements.end(tag)
        if self._elements.hide or tag in _INLINE or tag in ("td", "th"):
            return
        if _HEADING.fullmatch(tag) and not was_hidden:
            self.draft.end_heading(int(tag[1]))
        else:
            self.draft.end_block()

    def handle_data(self, data: str) -> None:
        if not self._is_hiding:
            self.draft.say(data)

    @property
    def _is_hiding(self) -> bool:
        return bool(self._unseen) or self._elements.hide


def _is_hidden(attributes: Sequence[tuple[str, str | None]]) -> bool:
    return any(
        name == "hidden" or (name == "style" and _HIDDEN.search(value or ""))
        for name, value in attributes
    )
