"""Sums in words, for the calculator: phrasings to learn from, and others to be asked with.

Rows are made by a seed: the same every time. Standard library only.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]  # JSON values

SYSTEM = "Use the calculator: write calc: and an expression. Then write answer: and the number."
TAUGHT = (
    ("How much is {a} times {b}?", "*"),
    ("A shop has {a} boxes with {b} apples each. How many apples are there?", "*"),
    ("What is {a} plus {b}?", "+"),
    ("Anna has {a} coins and finds {b} more. How many does she have?", "+"),
    ("What is {a} minus {b}?", "-"),
    ("There are {a} birds and {b} fly away. How many are left?", "-"),
)
HELD_OUT = (
    ("Multiply {a} by {b}.", "*"),
    ("Each of {a} buses carries {b} people. How many people is that?", "*"),
    ("Add {a} and {b}.", "+"),
    ("Tom read {a} pages on Monday and {b} on Tuesday. How many pages in all?", "+"),
    ("Subtract {b} from {a}.", "-"),
    ("Of {a} cakes the guests ate {b}. How many cakes remain?", "-"),
)


def rows(
    phrasings: Sequence[tuple[str, str]], num_rows: int, seed: int, demonstrated: bool = False
) -> list[Row]:
    """Questions with their expression and answer; demonstrated, whole conversations."""
    rng = random.Random(seed)
    return [_row(rng, *phrasings[i % len(phrasings)], demonstrated) for i in range(num_rows)]


def _row(rng: random.Random, phrasing: str, sign: str, demonstrated: bool) -> Row:
    a, b = rng.randint(30, 99), rng.randint(11, 29)
    expression = f"{a} {sign} {b}"
    answer = str({"*": a * b, "+": a + b, "-": a - b}[sign])
    asked = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": phrasing.format(a=a, b=b)},
    ]
    if not demonstrated:
        return {"messages": asked, "expression": expression, "answer": answer}
    said = [("assistant", f"calc: {expression}"), ("user", f"result: {answer}")]
    said += [("assistant", f"answer: {answer}")]
    return {"messages": asked + [{"role": role, "content": text} for role, text in said]}
