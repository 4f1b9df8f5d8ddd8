"""``CUSTOMIZE_PLUGINS``: which plugins are loaded. Knows names only, and is read before any is."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator

import attrs

from customize._errors import OptionError
from customize.plugins.distributions import normalized

VARIABLE = "CUSTOMIZE_PLUGINS"


@attrs.frozen
class Limit:
    """Names of distributions: the only ones, or (``without``) the ones left out."""

    names: frozenset[str] = frozenset()
    without: bool = True

    def allows(self, distribution: str) -> bool:
        """Whether it may be loaded."""
        return (distribution in self.names) != self.without

    def complaints(self, installed: Collection[str]) -> Iterator[str]:
        """A sentence for each name that nothing installed has."""
        for name in sorted(self.names - set(installed)):
            near = difflib.get_close_matches(name, installed, n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            have = ", ".join(sorted(installed)) or "none"
            yield (
                f"{VARIABLE} names {name!r}, and no such plugin is installed{meant} "
                f"(plugins: {have})"
            )


def parse_limit(text: str | None) -> Limit:
    """``None``: all. ``""``: none. ``"a,b"``: only these. ``"-a,-b"``: all but these.

    Raises:
        OptionError: the two ways are mixed.
    """
    if text is None:
        return Limit()
    parts = [part.strip() for part in text.split(",") if part.strip()]
    without = [part.startswith("-") for part in parts]
    if any(without) and not all(without):
        raise OptionError(
            f"{VARIABLE} names plugins to load (a,b) or plugins to leave out (-a,-b), not both "
            f"(got {text!r})"
        )
    names = frozenset(normalized(part.removeprefix("-")) for part in parts)
    return Limit(names, without=any(without))
