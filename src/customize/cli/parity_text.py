"""The outcome of the parity gate, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from customize.packaging.figures import in_words, of_own, of_rows

_QUIET = 0.25  # cores that others may keep busy


def parity_text(parity: Mapping[str, Any]) -> str:
    """Verdict, figures, and what was measured on this machine."""
    lines = [f"Parity: {parity['verdict']}, for weights in {parity['precision']}"]
    if (fault := parity["fault"]) is not None:
        place = "" if fault["token"] is None else f", token {fault['token']}"
        lines.append(f"  prompt {fault['prompt']!r}{place}: {fault['told']}")
    figures = {**parity["figures"], **parity["measured"]}
    own, rows = of_own(parity.get("own")), of_rows(parity.get("rows"))
    lines += [f"  {line}" for line in (*in_words(figures), *own, *rows)]
    lines += _contended(parity["measured"])
    if (task := parity["task"]) is not None:
        lines.append(f"  the task: {task['verdict']}: {task['told']}")
    return "\n".join(lines)


def _contended(measured: Mapping[str, float]) -> list[str]:
    """What speeds say little of, where others were at work."""
    busy, cores = measured.get("cores_busy_elsewhere", 0.0), measured.get("cores", 1.0)
    if busy < _QUIET:
        return []
    return [
        f"  speeds were measured while other programs kept {busy:.1f} of {cores:.0f} cores busy: "
        "`customize verify` measures them again"
    ]
