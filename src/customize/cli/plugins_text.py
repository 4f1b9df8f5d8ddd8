"""What is installed, as text for a terminal. Finds and loads nothing."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from customize._options import options_of
from customize.plugins import Offer, PluginRow

WIDEST = 100


def listing_text(rows: Sequence[PluginRow], left_out: Sequence[str]) -> Iterator[str]:
    """The lines of ``customize plugins``: a block a distribution, and a line that sums up."""
    for row in rows:
        yield from (*row_text(row), "")
    if left_out:
        yield from _wrapped("", f"Left out by CUSTOMIZE_PLUGINS: {', '.join(left_out)}.")
    broken = [row.distribution for row in rows if row.error]
    told = f" Broken: {', '.join(broken)}." if broken else ""
    yield from _wrapped("", f"{_count(len(rows), 'plugin')}.{told}")


def row_text(row: PluginRow) -> Iterator[str]:
    """One distribution: what it provides, then its faults with what to do."""
    yield f"{row.distribution} {row.version}" + (": broken" if row.error else "")
    for spec in row.specs:
        yield from _wrapped(f"  {spec.kind:9}{spec.name:12} ", spec.summary)
    for fault in row.faults:
        yield from _wrapped(f"  {fault.severity:9}", fault.message)
        yield from _wrapped(f"  {'to do':9}", fault.fix)


def offer_text(offer: Offer) -> Iterator[str]:
    """What a spec says of itself, and who provides it."""
    spec, plugin = offer.spec, offer.plugin
    yield from _wrapped(f"{spec.kind} {spec.name}: ", spec.summary)
    home = f", {plugin.home_page}" if plugin.home_page else ""
    yield from _wrapped(f"  {'from':10}", f"{plugin.name} {plugin.version}{home}")
    for field in attrs.fields(type(spec)):
        if field.name not in ("name", "target", "summary"):
            yield from _wrapped(f"  {field.name:10}", _told(getattr(spec, field.name)))


def options_text(target: object) -> Iterator[str]:
    """The options of a class with default, bounds and help; of anything else, that it has none."""
    found = list(options_of(target)) if isinstance(target, type) and attrs.has(target) else []
    yield "  options" if found else "  no options"
    for option in found:
        default = "" if option.default is attrs.NOTHING else f" = {option.default!r}"
        bounds = f" ({option.bounds})" if str(option.bounds) else ""
        full = "" if option.full is None else f", {option.full!r} with adapter: full"
        yield f"    {option.name}{default}{bounds}{full}"
        yield from _wrapped("        ", option.help)


def _told(value: Any) -> str:  # a field of any spec
    if isinstance(value, frozenset):
        return ", ".join(sorted(value)) or "nothing"
    return str(value)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _wrapped(head: str, text: str) -> list[str]:
    width = min(shutil.get_terminal_size().columns, WIDEST)
    return textwrap.wrap(
        text,
        width,
        initial_indent=head,
        subsequent_indent=" " * min(len(head), 26),
        break_long_words=False,
        break_on_hyphens=False,
    )
