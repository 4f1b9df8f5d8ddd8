"""What is said on the page of hardware of numbers that are further apart than is allowed."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

from customize_torch.checking.page import table

MACHINE = {
    "device": "Made Up 1000",
    "memory_gb": 80.0,
    "torch": "2.11",
    "cuda": "13.0",
    "hip": None,
    "python": "3.12",
    "versions": {},
}


def told(base: str, *, failed: bool) -> str:
    apart = {"logprobs_mean": 1e-4, "logprobs_max": 1e-3, "gradient": 1e-3}
    row: dict[str, Any] = {"dtype": "float32", "kernels": "triton", "base": base, **apart}
    return table(
        {"machine": MACHINE, "numbers": {"rows": [row], "failed": [row] if failed else []}}
    )


def test_why_a_rounded_base_is_further_apart_is_said_beside_it() -> None:
    verdict = told("int8", failed=True).partition("**more than is allowed**")[2]
    assert "the other of two codes" in verdict


def test_nothing_is_explained_that_is_not_so() -> None:
    assert "codes" not in told("int8", failed=False)
    assert "codes" not in told("plain", failed=True)
