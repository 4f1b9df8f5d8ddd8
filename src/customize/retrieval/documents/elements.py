"""Which elements of an HTML page are open at a place, and whether one hides it. Knows no text.

Ends that nobody has to write are known (html.spec.whatwg.org, 13.1.2.4 Optional tags).
"""

from __future__ import annotations

from collections import Counter

# What ends a paragraph by beginning.
BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "details", "div", "dl", "fieldset"),
        *("figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header"),
        *("hgroup", "hr", "main", "menu", "nav", "ol", "p", "pre", "search", "section", "table"),
        "ul",
    )
)
_VOID = frozenset(
    (
        *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param"),
        *("source", "track", "wbr"),
    )
)
_PARTS = ("thead", "tbody", "tfoot")
# By what begins: what it ends, and what may hold both, beyond which it ends nothing.
_ENDED = {
    **dict.fromkeys(BLOCKS, (("p",), ("table", "caption", "td", "th", "button", "object"))),
    "li": (("li",), ("ul", "ol", "menu")),
    **dict.fromkeys(("dt", "dd"), (("dt", "dd"), ("dl",))),
    "option": (("option",), ("select", "datalist")),
    **dict.fromkeys(("td", "th"), (("td", "th"), ("tr", "table"))),
    "tr": (("tr", "td", "th"), (*_PARTS, "table")),
    **dict.fromkeys(_PARTS, ((*_PARTS, "tr", "td", "th"), ("table",))),
}
_REACH = 32  # open elements that are looked through for one of those


class Elements:
    """The elements within each other at a place of a page."""

    def __init__(self) -> None:
        self._open: list[tuple[str, bool]] = []  # the tag, and whether it hides what is in it
        self._num_open: Counter[str] = Counter()
        self._num_hiding = 0

    @property
    def hide(self) -> bool:
        """Whether what stands here is hidden."""
        return self._num_hiding > 0

    def begin(self, tag: str, is_hidden: bool) -> None:
        """Open an element, and end those that it ends by beginning."""
        ended, holding = _ENDED.get(tag, ((), ()))
        if any(self._num_open[one] for one in ended):
            self._end_up_to(ended, holding)
        if tag not in _VOID:
            self._open.append((tag, is_hidden))
            self._num_open[tag] += 1
            self._num_hiding += is_hidden

    def end(self, tag: str) -> None:
        """End the innermost open one of this tag, and all within it."""
        while self._num_open[tag]:
            if self._pop() == tag:
                return

    def _end_up_to(self, ended: tuple[str, ...], holding: tuple[str, ...]) -> None:
        kept = len(self._open)
        for place in range(kept - 1, max(-1, kept - 1 - _REACH), -1):
            name = self._open[place][0]
            if name in holding:
                break
            if name in ended:
                kept = place
        while len(self._open) > kept:
            self._pop()

    def _pop(self) -> str:
        tag, is_hidden = self._open.pop()
        self._num_open[tag] -= 1
        self._num_hiding -= is_hidden
        return tag
