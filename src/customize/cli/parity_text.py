"""The outcome of the parity gate, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def parity_text(parity: Mapping[str, Any]) -> str:
    """Verdict, figures in nats a token, and what was measured on this machine."""
    lines = [f"Parity: {parity['verdict']}, for weights in {parity['precision']}"]
    if (fault := parity["fault"]) is not None:
        place = "" if fault["token"] is None else f", token {fault['token']}"
        lines.append(f"  prompt {fault['prompt']!r}{place}: {fault['told']}")
    figures = {**parity["figures"], **parity["measured"]}
    lines += [f"  {name}: {_shown(value)}" for name, value in figures.items()]
    if (task := parity["task"]) is not None:
        lines.append(f"  the task: {task['verdict']}: {task['told']}")
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "not a number" if value is None else f"{value:.3g}"
