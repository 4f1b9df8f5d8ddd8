"""Puts training conversations together that happen in one shop. Knows no shop and no check.

They have one system prompt, which is computed once for all of them in training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from conversations import Conversation

Day = tuple[Conversation, ...]
GUESTS = 3


def days(conversations: Sequence[Conversation]) -> Iterator[Day]:
    """Up to three conversations each; every one is on some day, in an order of its own.

    A conversation that adds to the system prompt leads, and others of other traits follow, whose
    answers stay right whatever it adds. One that takes something away from the prompt is alone.
    """
    leading, following, alone = _kinds(sorted(conversations, key=_drawn))
    yield from ((one,) for one in alone)
    for lead in leading:
        yield tuple(sorted([lead, *_taken(following, [lead.trait])], key=_drawn))
    while following:
        yield tuple(_taken(following, []))


def _kinds(
    conversations: Sequence[Conversation],
) -> tuple[list[Conversation], list[Conversation], list[Conversation]]:
    alone = [one for one in conversations if one.without]
    leading = [one for one in conversations if one.prompt and not one.without]
    return leading, [one for one in conversations if not one.prompt and not one.without], alone


def _taken(conversations: list[Conversation], traits: list[str]) -> list[Conversation]:
    """Takes the first conversations of other traits out of the list, as many as are missing."""
    taken: list[Conversation] = []
    for one in list(conversations):
        if one.trait not in traits and len(traits) < GUESTS:
            conversations.remove(one)
            taken.append(one)
            traits = [*traits, one.trait]
    return taken


def _drawn(conversation: Conversation) -> bytes:
    return hashlib.sha256(conversation.customer.encode()).digest()
