"""All that a person writes: a reward, a reward and tools, an environment.

``tests/examples`` counts their lines, and trains with each.
"""

from __future__ import annotations

import re
from typing import Any

import customize

SETTINGS: dict[str, Any] = {"model": "smollm2", "data": "sums.jsonl", "method": "grpo"}


def number(text: str) -> int | None:
    """The first number in a text."""
    found = re.search("[0-9]{1,9}", text)
    return int(found[0]) if found else None


def a_reward(**settings: Any) -> customize.Run:
    # begin: a reward
    def correct(completion, answer):  # type: ignore[no-untyped-def]
        return completion.strip().endswith(answer)

    return customize.train(**settings, reward=correct)
    # end


def a_reward_and_tools(index: Any, **settings: Any) -> customize.Run:
    def correct(completion: str, answer: str) -> bool:
        return completion.strip().endswith(answer)

    # begin: tools
    def search(query: str, limit: int = 3) -> str:
        """Search the handbook.

        query: what to look for
        """
        return "\n".join(index(query)[:limit])

    return customize.train(**settings, reward=correct, tools=[search])
    # end


# begin: an environment
@customize.environment
def higher_lower(row, rng):  # type: ignore[no-untyped-def]
    secret = rng.randrange(100)
    reply = yield "I think of a number below 100. Guess."
    for _ in range(7):
        guess = number(reply.text)
        if guess == secret:
            return {"won": 1.0}
        reply = yield "higher" if (guess or 0) < secret else "lower"
    return {"won": 0.0}


# end
