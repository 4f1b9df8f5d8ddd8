"""The environment: yields what the model sees, is sent its reply, returns the reward."""

from __future__ import annotations

import random
import re
from collections.abc import Generator

from customize import Reply, Row, environment


@environment
def guessing(row: Row, rng: random.Random, most: int = 100) -> Generator[str, Reply, float]:
    """What is random comes from ``rng``; options have defaults, as ``most`` has."""
    secret = rng.randint(1, most)
    reply = yield f"I think of a number from 1 to {most}. Guess it, with a number alone."
    for _ in range(5):
        if (guess := _number(reply.text)) == secret:
            return 1.0
        if guess is None:
            reply = yield "That is no number."
        else:
            reply = yield "Higher." if guess < secret else "Lower."
    return 0.0


def _number(text: str) -> int | None:
    """Whatever the model says is no reason to raise."""
    found = re.search(r"[0-9]{1,9}", text)
    return int(found[0]) if found else None
