"""Sentences about people, and the JSON that says the same: names in training are not asked later.

Rows are made by a seed: the same every time. Standard library only.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]  # JSON values

SYSTEM = 'Answer in JSON alone, with the keys "name", "age" and "city".'
TAUGHT = (
    "{name} is {age} years old and lives in {city}.",
    "In {city} lives {name}, who is {age}.",
    "My friend {name} from {city} is {age} years old.",
)
HELD_OUT = (
    "{name}, {age}, moved to {city} last year.",
    "At the age of {age}, {name} still calls {city} home.",
    "Meet {name}: a citizen of {city}, aged {age}.",
)
NAMES = {
    "taught": ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Ida", "Jonas"),
    "held out": ("Karla", "Leo", "Mara", "Nils", "Olga", "Paul", "Rosa", "Simon"),
}
CITIES = {
    "taught": ("Rome", "Paris", "Oslo", "Lisbon", "Vienna", "Madrid", "Dublin", "Athens"),
    "held out": ("Berlin", "Prague", "Warsaw", "Helsinki", "Zurich", "Naples"),
}


def rows(
    phrasings: Sequence[str], names: str, num_rows: int, seed: int, demonstrated: bool = False
) -> list[Row]:
    """Sentences with what they say; demonstrated, with the answer."""
    rng = random.Random(seed)
    out = []
    for i in range(num_rows):
        facts: Row = {
            "name": rng.choice(NAMES[names]),
            "age": rng.randint(18, 79),
            "city": rng.choice(CITIES[names]),
        }
        asked = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": phrasings[i % len(phrasings)].format(**facts)},
        ]
        said = [{"role": "assistant", "content": json.dumps(facts)}]
        out.append({"messages": asked + said} if demonstrated else {"messages": asked, **facts})
    return out
