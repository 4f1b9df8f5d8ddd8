"""Faults: what can be wrong with an installed plugin, and what to do. Finds none itself."""

from __future__ import annotations

import attrs

# What each code means. A code is added, never changed: scripts read it from --json.
ERRORS = {
    "metadata": "Its metadata, entry points included, cannot be read.",
    "import": "The module that its entry point names cannot be imported.",
    "hook": "A hook raises, or takes what no hook offers; what it gave before that is kept.",
    "unknown-hook": "It implements a hook that this version of customize does not have.",
    "spec": "A hook gives something that is no valid spec.",
    "repeated": "It offers one name twice; the first is kept.",
    "target": "The module that a spec's target names does not exist.",
    "requirement": "A package that it requires is missing, or has another version.",
}
# With these a plugin may offer more than can be seen of it.
HIDING = frozenset({"metadata", "import", "hook", "unknown-hook", "spec"})
WARNINGS = {
    "ambiguous": "Another plugin offers the same name, so that the full name is needed.",
    "heavy": "Listing it imports a package that takes long; only the first importer is seen.",
    "prints": "Listing it writes to standard output or standard error.",
    "slow": "Listing it takes long.",
    "deprecated": "It implements a hook, or takes an argument, that goes with the next minor.",
}


@attrs.frozen
class Fault:
    """One thing that is wrong: what, what to do, and the exception behind it, if any."""

    code: str
    message: str
    fix: str
    cause: BaseException | None = attrs.field(default=None, eq=False, repr=False)

    @property
    def severity(self) -> str:
        """``error``: what it offers cannot be relied on. ``warning``: it works all the same."""
        return "error" if self.code in ERRORS else "warning"

    def __str__(self) -> str:
        return f"{self.message}; {self.fix}"


def told(error: BaseException) -> str:
    """An exception as ``Type: message``, without the message's further lines."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
