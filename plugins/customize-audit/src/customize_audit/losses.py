"""How surprised a model is by a row's answers. Knows no canaries.

Shape legend: S rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import customize

Floats = npt.NDArray[np.float64]
_AT_ONCE = 32


def nats(snapshot: customize.Snapshot, rows: Sequence[Mapping[str, Any]]) -> tuple[Floats, Floats]:
    """Of all the assistant's tokens of each row, and how many they are; [S] each."""
    total, tokens = np.empty(len(rows)), np.empty(len(rows))
    for start in range(0, len(rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        batch = customize.Batch.from_sequences([_rendered(snapshot, row) for row in rows[part]])
        total[part] = -batch.sum_by_sequence(snapshot.forward(batch).result())
        tokens[part] = batch.sum_by_sequence((batch.weights != 0).astype(np.float32))
    return total, tokens


def _rendered(snapshot: customize.Snapshot, row: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    beside = row.get("tools") or None, row.get("documents") or None
    rendered = snapshot.renderer.render(row["messages"], *beside)
    return rendered.tokens, {"weights": rendered.weights}
