"""Freed memory that the C library keeps is given back, where it is more than will be used."""

from __future__ import annotations

import pytest

from customize._memory import resident_bytes
from customize_torch import heap

if heap._heap() is None:
    pytest.skip("this C library does not tell what it keeps", allow_module_level=True)


def test_what_is_more_than_will_be_used_goes_back() -> None:
    large, small = [], []
    for _ in range(1000):
        large.append(bytearray(100_000))
        small.append(bytearray(2_000))  # stays, and a hole is left before it
    del large
    held = resident_bytes()
    heap.give_back(but=1e12)
    assert held is not None
    assert abs((resident_bytes() or 0) - held) < 10e6
    heap.give_back(but=1e6)
    assert (resident_bytes() or 0) < held - 60e6
    assert len(small) == 1000
