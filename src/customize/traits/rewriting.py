"""A rule that makes a good answer of an undesired one. Knows texts, and no model."""

from __future__ import annotations

import re
from collections.abc import Mapping

from customize._errors import OptionError
from customize._functions import load_function
from customize._options import option, options
from customize.interfaces.dataset import Row

_END = re.compile(r"(?<=[.!?])\s+")


@options
class Rewrite:
    """Its parts in this order; a part that is not given does nothing."""

    replace: Mapping[str, str] = option(
        factory=dict, help="Patterns (Python's regular expressions), and what takes their place."
    )
    sentences: int = option(
        default=0, help="So many sentences are kept, from the first; 0 keeps all.", at_least=0
    )
    append: str = option(default="", help="A text that is added, after a space.")
    function: str | None = option(
        default=None,
        help="package.module:name of a function of (text, row) to the text, or None where it "
        "knows none.",
    )

    def __attrs_post_init__(self) -> None:
        for pattern, text in self.replace.items():
            try:
                compiled = re.compile(pattern)
            except (re.error, TypeError) as error:
                raise OptionError(f"the pattern {pattern!r} is wrong: {error}") from error
            if not isinstance(text, str):
                raise OptionError(f"{pattern!r} must be replaced by a text (got {text!r})")
            _check_groups(compiled, text)
        if self.function is not None:
            load_function(self.function)

    def applied(self, text: str, row: Row) -> str | None:
        """The rewritten answer to a row, or None."""
        for pattern, instead in self.replace.items():
            text = re.sub(pattern, instead, text)
        if self.sentences:
            text = " ".join(_END.split(text.strip())[: self.sentences])
        if self.append:
            text = f"{text.strip()} {self.append}".strip()
        if self.function is None:
            return text
        found: object = load_function(self.function)(text, row)
        if found is not None and not isinstance(found, str):
            raise OptionError(f"{self.function} must give a text or None (gave {found!r})")
        return found


def _check_groups(pattern: re.Pattern[str], text: str) -> None:
    try:
        pattern.sub(text, "")
    except (re.error, IndexError) as error:
        raise OptionError(
            f"{pattern.pattern!r} cannot be replaced by {text!r}: {error}; a backslash is written "
            "twice, and a group that it names stands in the pattern, in parentheses"
        ) from error
