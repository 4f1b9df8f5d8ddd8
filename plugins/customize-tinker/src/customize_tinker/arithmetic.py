"""Python's operators as a custom loss may use them: on tensors and numbers, never on sequences.

A number's own operators can take all memory and all time there is: a list times a billion, ten to
the power of a billion. So whole numbers stay within 64 bits, and powers of numbers are floats.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

ATTRIBUTES = ("T", "dtype", "ndim", "shape")
_LARGEST = 1 << 63
_NAMES = (
    *("abs", "add", "and_", "eq", "floordiv", "ge", "gt", "inv", "invert", "le", "lt", "mod"),
    *("mul", "ne", "neg", "or_", "pos", "sub", "truediv", "xor"),
)

Value = Any  # a tensor or a number; torch is no dependency


def _guarded(function: Callable[..., Value]) -> Callable[..., Value]:
    def operated(*values: Value) -> Value:
        for value in values:
            if not (_is_tensor(value) or isinstance(value, (int, float))):
                raise TypeError(f"{function.__name__} of {type(value).__name__}")
        found = function(*values)
        if type(found) is int and abs(found) >= _LARGEST:
            raise ValueError(f"{function.__name__} makes a whole number of more than 64 bits")
        return found

    return operated


def _power(base: Value, exponent: Value) -> Value:
    if _is_tensor(base) or _is_tensor(exponent):
        return base**exponent
    return float(base) ** float(exponent)


def _item(values: Value, place: Value) -> Value:
    """An entry or a part: places are numbers and slices, so that the result is no larger."""
    for one in place if isinstance(place, tuple) else (place,):
        if not (one is None or one is ... or type(one) is int or isinstance(one, slice)):
            raise TypeError(f"a place is a number or a slice, and no {type(one).__name__}")
    return values[place]


def _is_tensor(value: Value) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


OPERATORS: dict[str, Callable[..., Value]] = {
    **{name: _guarded(getattr(operator, name)) for name in _NAMES},
    "getitem": _item,
    "pow": _guarded(_power),
}
