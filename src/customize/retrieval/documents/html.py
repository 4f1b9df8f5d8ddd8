"""HTML to text: what a reader sees. Fetches nothing and runs nothing. Knows no file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser

from customize.retrieval.documents.draft import Draft
from customize.retrieval.documents.plain import cleaned, decoded

_UNSEEN = frozenset(
    ("script", "style", "template", "noscript", "svg", "math", "head", "iframe", "object")
)
_INLINE = frozenset(
    (
        *("a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em"),
        *("font", "i", "img", "ins", "kbd", "label", "mark", "q", "s", "samp", "small", "span"),
        *("strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr"),
    )
)
_HEADING = re.compile(r"h[1-6]")
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s{0,9}=\s{0,9}["']?([\w-]{1,40})""", re.I)


def read_html(content: bytes) -> Draft:
    """What an HTML file says; its encoding is what it declares, else UTF-8.

    Raises:
        DataError: it is not in that encoding.
    """
    page = _Page()
    page.feed(_text(content))
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

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.draft = Draft()
        self._unseen = ""  # the tag that hides what is in it
        self._depth = 0  # of that tag within itself

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if self._unseen:
            self._depth += tag == self._unseen
        elif tag in _UNSEEN:
            self._unseen, self._depth = tag, 1
        elif tag in ("td", "th"):
            self.draft.say(" | ")
        elif tag not in _INLINE:
            self.draft.end_block()

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if not self._unseen and tag not in _INLINE:
            self.draft.end_block()

    def handle_endtag(self, tag: str) -> None:
        if self._unseen:
            self._depth -= tag == self._unseen
            if not self._depth or tag in ("body", "html"):
                self._unseen = ""
        elif _HEADING.fullmatch(tag):
            self.draft.end_heading(int(tag[1]))
        elif tag not in _INLINE and tag not in ("td", "th"):
            self.draft.end_block()

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.draft.say(data)
