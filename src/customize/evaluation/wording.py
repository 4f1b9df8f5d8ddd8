"""Numbers and results in words, for tables, pages and commands. Computes nothing."""

from __future__ import annotations

from customize.evaluation.statistics import Interval

NOT_DEFINED = "not defined"


def points(interval: Interval, signed: bool = False) -> str:
    """In per cent: ``36 [28, 45]``."""
    return _shown(interval, 100.0, "+.0f" if signed else ".0f")


def amount(interval: Interval, signed: bool = False) -> str:
    """In the metric's own unit: ``3.36 [3.28, 3.45]``."""
    return _shown(interval, 1.0, "+.3g" if signed else ".3g")


def _shown(interval: Interval, scale: float, form: str) -> str:
    if not interval.is_defined:
        return NOT_DEFINED
    estimate, low, high = (
        format(_no_negative_zero(scale * x, form), form)
        for x in (interval.estimate, interval.low, interval.high)
    )
    return f"{estimate} [{low}, {high}]" if interval.is_bounded else f"{estimate} (no interval)"


def _no_negative_zero(value: float, form: str) -> float:
    return 0.0 if float(format(value, form)) == 0 else value


def label(slice: str | None) -> str:
    """A slice by the name its rows give it: traits without the word."""
    return "all" if slice is None else slice.removeprefix("trait=")
