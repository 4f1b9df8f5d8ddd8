"""Numbers and results in words, for tables, pages and commands. Computes nothing."""

from __future__ import annotations

import attrs

from customize.evaluation.statistics import Interval


def points(interval: Interval, signed: bool = False) -> str:
    """In per cent: ``36 [28, 45]``."""
    form = "{:+d} [{:+d}, {:+d}]" if signed else "{:d} [{:d}, {:d}]"
    return form.format(*(round(100 * x) + 0 for x in attrs.astuple(interval)))


def amount(interval: Interval, signed: bool = False) -> str:
    """In the metric's own unit: ``3.36 [3.28, 3.45]``."""
    form = "{:+.3g} [{:+.3g}, {:+.3g}]" if signed else "{:.3g} [{:.3g}, {:.3g}]"
    return form.format(*(x + 0.0 for x in attrs.astuple(interval)))


def label(slice: str | None) -> str:
    """A slice by the name its rows give it: traits without the word."""
    return "all" if slice is None else slice.removeprefix("trait=")
