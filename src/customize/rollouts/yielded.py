"""What an environment yields and returns, made a turn, its messages or a verdict. Plays nothing."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import attrs

from customize.data.rendering.conversation import ROLES
from customize.interfaces.environment import Turn, Verdict
from customize.rollouts.rewards import number

_CHARACTERS = 4  # that a token is taken for where text is cut before it is tokens
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
    if len(text) <= limit:
        return text
    half = limit // 2
    return text[:half] + _CUT.format(len(text) - 2 * half) + text[len(text) - half :]


def verdict_of(value: Any) -> Verdict:
    """What was returned, as a reward; raises TypeError or ValueError for what is none."""
    if isinstance(value, Verdict):
        return attrs.evolve(value, reward=number(value.reward, "the reward"))
    if isinstance(value, Mapping):
        parts = {str(name): number(part, f"the part {name!r}") for name, part in value.items()}
        return Verdict(sum(parts.values()), parts)
    return Verdict(number(value, "the reward"), {})
