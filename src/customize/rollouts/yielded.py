"""What an environment yields and returns, made a turn, its messages or a verdict. Plays nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from itertools import accumulate, takewhile
from typing import Any

import attrs

from customize._scripts import KOREAN, UNSPACED
from customize.data.rendering.conversation import ROLES
from customize.interfaces.environment import Turn, Verdict
from customize.rollouts.rewards import number

_CHARACTERS = 4  # that a token is taken for where text is cut before it is tokens
_DENSE = re.compile(f"[{UNSPACED}{KOREAN}]")  # each of these is taken for a token of its own
_CUT = "[… {} characters left out …]"


def turn_of(value: object) -> Turn:
    """What was yielded, as a turn; raises TypeError for what is none."""
    if isinstance(value, Turn):
        return value
    if isinstance(value, str) or (isinstance(value, (list, tuple)) and value):
        return Turn(value)
    shown = f"{str(value)[:80]!r} ({type(value).__name__})"
    raise TypeError(f"yielded {shown}: yield text, messages or a Turn, and return the reward")


def messages_of(turn: Turn, own: Set[Any], observation_tokens: int) -> list[dict[str, Any]]:
    """A turn's messages, cut but for ``own`` texts; raises TypeError for what is no message."""
    given = turn.messages
    messages = [{"role": "user", "content": given}] if isinstance(given, str) else list(given)
    limit = observation_tokens * _CHARACTERS
    out = []
    for message in messages:
        if not _is_message(message):
            roles = ", ".join(ROLES)
            raise TypeError(
                f"yielded {str(message)[:80]!r}: a message has a role, one of {roles}, and a "
                "content, which is text"
            )
        text = message["content"]
        out.append({**message, "content": text if text in own else _cut(text, limit)})
    return out


def _is_message(value: object) -> bool:
    if not isinstance(value, Mapping) or not isinstance(value.get("content"), str):
        return False
    return value.get("role") in ROLES


def _cut(text: str, limit: int) -> str:
    """The beginning and the end, where the text is too long."""
    length = len(text)
    if length * _CHARACTERS <= limit or (length <= limit and _weight(text) <= limit):
        return text
    half = limit // 2
    head, tail = _room(text[:half], half), _room(text[: -half - 1 : -1], half)
    return text[:head] + _CUT.format(length - head - tail) + text[length - tail :]


def _weight(text: str) -> int:
    """Characters, as those of scripts with spaces are counted."""
    return len(text) + (_CHARACTERS - 1) * len(_DENSE.findall(text))


def _room(text: str, limit: int) -> int:
    """How many characters from the beginning weigh no more."""
    if _DENSE.search(text) is None:
        return min(len(text), limit)
    weights = accumulate(_CHARACTERS if _DENSE.match(c) else 1 for c in text)
    return sum(1 for _ in takewhile(lambda weight: weight <= limit, weights))


def verdict_of(value: Any) -> Verdict:
    """What was returned, as a reward; raises TypeError or ValueError for what is none."""
    if isinstance(value, Verdict):
        return attrs.evolve(value, reward=number(value.reward, "the reward"))
    if isinstance(value, Mapping):
        parts = {str(name): number(part, f"the part {name!r}") for name, part in value.items()}
        return Verdict(sum(parts.values()), parts)
    return Verdict(number(value, "the reward"), {})
