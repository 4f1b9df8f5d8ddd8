"""The rules of a backend, kept on the device in every type and by every kernel it computes with."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from typing import Any

from customize.testing import outcomes
from customize_torch.checking.shapes import bases
from customize_torch.gpu import GPU
from customize_torch.holding import PLAIN


def check(backend: type[GPU], asked: argparse.Namespace) -> dict[str, Any]:
    """Counts, and each rule that is not kept with its reason."""
    kernels = ["torch", *(["triton"] if find_spec("triton") else [])]
    ways: list[dict[str, Any]] = [
        {"dtype": "float32", "kernels": "torch", "token_budget": 64},
        *({"dtype": "bfloat16", "kernels": name} for name in kernels),
        {"dtype": "bfloat16", "recompute": "always"},
        *({"dtype": "bfloat16", "base": base} for base in bases() if base != PLAIN),
    ]
    passed, skipped, failed = 0, [], []
    for way in ways:
        for outcome in outcomes("backend", backend(**way)):
            told = {"rule": outcome.rule, "options": way, "reason": outcome.reason}
            passed += outcome.status == "passed"
            if outcome.status == "skipped":
                skipped.append(told)
            if outcome.status == "failed":
                failed.append(told)
    return {"passed": passed, "skipped": skipped, "failed": failed}
