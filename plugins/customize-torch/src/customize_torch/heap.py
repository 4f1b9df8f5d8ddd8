"""Freed memory that the C library keeps, given back where it is much. Knows no model.

Tensors of many sizes leave holes between those that stay, which the next ones do not fit: after a
hundred steps over rows of all lengths a process held half as much again as it used.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable

_MALLINFO = (
    *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
    *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
)


class _Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in _MALLINFO]


def give_back(but: float) -> None:
    """Return what is free to the system where that is more than ``but`` bytes, which will be used.

    Only with the GNU C library: others tell nothing of what they keep.
    """
    heap = _heap()
    if heap is not None:
        free, trim = heap
        if free() > but:
            trim()


@functools.cache
def _heap() -> tuple[Callable[[], int], Callable[[], None]] | None:
    """How many bytes are free, and returning them."""
    try:
        library = ctypes.CDLL(None)
        info, trim = library.mallinfo2, library.malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
    info.restype = _Info
    return lambda: int(info().fordblks), lambda: trim(ctypes.c_size_t(0))
