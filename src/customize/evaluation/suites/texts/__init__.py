"""Held-out text: 30 questions of general interest with short answers, written for this package.

How likely a model finds them shows what a customization broke that its greedy answers still hide.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any


def rows() -> list[dict[str, Any]]:
    """Conversations of a question and its answer, always in the same order."""
    text = files(__name__).joinpath("rows.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]
