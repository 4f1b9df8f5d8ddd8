"""The outcome of the parity gate, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from customize.packaging.figures import in_words


def parity_text(parity: Mapping[str, Any]) -> str:
    """Verdict, figures, and what was measured on this machine."""
    lines = [f"Parity: {parity['verdict']}, for weights in {parity['precision']}"]
    if (fault := parity["fault"]) is not None:
        place = "" if fault["token"] is None else f", token {fault['token']}"
        lines.append(f"  prompt {fault['prompt']!r}{place}: {fault['told']}")
    lines += [f"  {line}" for line in in_words({**parity["figures"], **parity["measured"]})]
    if (task := parity["task"]) is not None:
        lines.append(f"  the task: {task['verdict']}: {task['told']}")
    return "\n".join(lines)
