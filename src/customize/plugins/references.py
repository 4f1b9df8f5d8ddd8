"""A name with options, as one writes it: ``gsm8k:level=3``. Knows no kind of plugin."""

from __future__ import annotations

import re
from collections.abc import Mapping

from customize._errors import OptionError

_NEXT = re.compile(r",(?=\w+=)")


def split(text: str) -> tuple[str, Mapping[str, str]]:
    """A reference and its options as text, of ``gsm8k:level=3`` or ``package.module:name``.

    Raises:
        OptionError: options are not written as name=value.
    """
    before, sign, after = text.partition("=")
    if not sign:
        return text, {}
    reference, _, first = before.rpartition(":")
    if not reference or not first.isidentifier():
        raise OptionError(f"options are NAME:option=value,option=value (got {text!r})")
    pairs = [part.partition("=") for part in _NEXT.split(f"{first}={after}")]
    return reference, {name: value for name, _, value in pairs}
