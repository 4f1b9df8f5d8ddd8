"""An honest environment, and environments that break one rule each."""

from __future__ import annotations

import itertools
import random
from typing import Any

from customize import OutOfRoom, Row

_ASKED = itertools.count()


def honest(row: Row, rng: random.Random) -> Any:
    secret = rng.randrange(10)
    reply = yield row["messages"]
    for _ in range(3):
        if str(secret) in reply.text:
            return {"won": 1.0}
        reply = yield "no"
    return {"won": 0.0}


def mute(row: Row, rng: random.Random) -> Any:
    yield [{"role": "user"}]
    return {"won": 0.0}


def moody(row: Row, rng: random.Random) -> Any:
    yield f"This is question {next(_ASKED)}."
    return {"won": 0.0}


def meddling(row: Any, rng: random.Random) -> Any:
    row["seen"] = True
    yield row["messages"]
    return {"won": 0.0}


def fragile(row: Row, rng: random.Random) -> Any:
    reply = yield row["messages"]
    return {"won": float(reply.text[0] == "A")}


def undecided(row: Row, rng: random.Random) -> Any:
    yield row["messages"]
    return {"won": float("nan")}


def manifold(row: Row, rng: random.Random) -> Any:
    yield row["messages"]
    return {rng.choice(["won", "lost"]): 1.0}


def stubborn(row: Row, rng: random.Random) -> Any:
    try:
        yield row["messages"]
    except OutOfRoom:
        yield "Once more!"
    return {"won": 0.0}


def clinging(row: Row, rng: random.Random) -> Any:
    try:
        yield row["messages"]
    except GeneratorExit:
        yield "Wait!"
    return {"won": 0.0}


LIARS = {
    "check_turns_are_what_a_model_sees": mute,
    "check_environment_repeats": moody,
    "check_the_row_is_left_alone": meddling,
    "check_no_reply_is_too_odd": fragile,
    "check_rewards_are_numbers": undecided,
    "check_parts_are_the_same": manifold,
    "check_no_more_room_ends_it": stubborn,
    "check_it_can_be_closed": clinging,
}
