"""What rules are written with: expectations that say what was found. Knows no rule."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from customize._errors import CustomizeError
from customize.testing.rules import RuleBroken


def expect(kept: bool, found: str) -> None:
    """Raises RuleBroken with ``found`` unless the rule is kept."""
    if not kept:
        raise RuleBroken(found)


def expect_close(found: object, wanted: npt.ArrayLike, within: float, what: str) -> None:
    """Raises RuleBroken where ``found`` is further than ``within`` from ``wanted``."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    expect(found.shape == wanted.shape, f"{what}: shape {found.shape}, not {wanted.shape}")
    expect(bool(np.isfinite(found).all()), f"{what}: not all finite")
    away = float(np.abs(found - wanted).max(initial=0.0))
    expect(away <= within, f"{what}: off by up to {away:.3g}, more than {within:.3g}")


def expect_equal(found: npt.ArrayLike, wanted: npt.ArrayLike, what: str) -> None:
    """Raises RuleBroken unless both are equal to the last bit."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    expect(found.shape == wanted.shape, f"{what}: shape {found.shape}, not {wanted.shape}")
    differing = int((found != wanted).sum())
    expect(differing == 0, f"{what}: {differing} of {found.size} numbers differ")


def expect_raises(
    errors: type[CustomizeError] | tuple[type[CustomizeError], ...],
    act: Callable[[], object],
    what: str,
    naming: str = "",
) -> None:
    """Raises RuleBroken unless ``act`` raises one of ``errors``, its message with ``naming``."""
    allowed = errors if isinstance(errors, tuple) else (errors,)
    told = " or ".join(error.__name__ for error in allowed)
    try:
        act()
    except allowed as error:
        expect(naming in str(error), f"{what}: the message does not name {naming!r}: {error}")
        return
    except Exception as error:
        raise RuleBroken(f"{what} raises {type(error).__name__} ({error}), not {told}") from error
    raise RuleBroken(f"{what} raises nothing, where {told} is due")
