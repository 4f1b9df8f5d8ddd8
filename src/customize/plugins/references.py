"""A name with options, as one writes it: ``gsm8k:level=3``. Knows no kind of plugin."""

from __future__ import annotations

from collections.abc import Mapping

from customize._errors import OptionError


def split(text: str) -> tuple[str, Mapping[str, str]]:
    """A reference and its options as text, of ``gsm8k:level=3`` or ``package.module:name``.

    Raises:
        OptionError: options are not written as name=value.
    """
    before, sign, after = text.partition("=")
    if not sign:
        return text, {}
    reference, _, first = before.rpartition(":")
    pairs = [part.partition("=") for part in f"{first}={after}".split(",")]
    if not reference or not all(name.isidentifier() and sign for name, sign, _ in pairs):
        raise OptionError(f"options are NAME:name=value, joined by , (got {text!r})")
    return reference, {name: value for name, _, value in pairs}
