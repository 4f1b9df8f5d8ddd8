"""What would tell who someone is, taken out of a text. Knows no finding."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Iterator
from pathlib import Path

# An absolute path, up to a space or what ends a phrase; in quotes, up to the quote. Not what
# follows a word, as in an address of the web. Those that every Linux has tell nothing of anyone.
_PATH = re.compile(
    r"""(?P<quote>['"])(?:/(?!/)|[A-Za-z]:\\)[^'"]+(?P=quote)"""
    r"""|(?:(?<![\w/:.~<>-])|(?<=file://))/(?![\s/])[^\s'",:;)\]]+"""
    r"""|(?<![\w])[A-Za-z]:\\[^\s'",:;)\]]+"""
)
_OF_ALL = re.compile(r"""['"]?/(?:dev|proc|sys)/""")
_NOT_PRIVATE = ("root", "localhost")


def without_private(text: str, home: Path) -> str:
    """The text with ``.``, ``~``, ``<path>``, ``<user>`` and ``<host>`` for what is theirs."""
    places = {Path.cwd(): ".", home: "~"}
    for place in sorted(places, key=lambda one: -len(str(one))):  # inner ones first
        if place != Path(place.anchor):
            text = re.sub(rf"{re.escape(str(place))}(?![\w-])", places[place], text)
    text = _PATH.sub(_shown, text)
    for name, instead in _names():
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", instead, text, flags=re.IGNORECASE)
    return text


def _shown(found: re.Match[str]) -> str:
    if _OF_ALL.match(found[0]):
        return found[0]
    quote = found["quote"] or ""
    return f"{quote}<path>{quote}"


def _names() -> Iterator[tuple[str, str]]:
    """The longer ones first."""
    host = socket.gethostname()
    yield from ((one, "<host>") for one in (host, host.split(".")[0]) if _is_private(one))
    try:
        user = getpass.getuser()
    except (ImportError, KeyError, OSError):  # nobody has this number
        return
    if _is_private(user):
        yield user, "<user>"


def _is_private(name: str) -> bool:
    return bool(name) and name not in _NOT_PRIVATE
