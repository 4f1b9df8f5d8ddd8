"""The many ways to say a fact of a business and to ask for it: what they are, and what all share.

``{n}`` is the business, ``{v}`` the value, ``{s}`` a service, ``{o}`` a value that no longer holds.
What stands under ``new`` is never trained on: neither said so in a document nor asked so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Wording:
    """said: sentences of a document. asked: whole questions. named: noun phrases for frames."""

    said: tuple[str, ...]
    asked: tuple[str, ...]
    named: tuple[str, ...]


@dataclass(frozen=True)
class Fact:
    """value: how it is drawn. outdated: sentences about a value of the past, set beside it.

    trained: False for facts that only the test's businesses have.
    """

    section: str
    value: str
    known: Wording
    new: Wording
    outdated: tuple[str, ...] = ()
    trained: bool = field(default=True)


# How a noun phrase becomes a question.
FRAMES: Mapping[str, tuple[str, ...]] = {
    "known": (
        "What is {x} at {n}?",
        "Tell me {x} at {n}.",
        "{n}: {x}?",
        "I need to know {x} for {n}.",
        "Can you tell me {x} at {n}?",
        "Do you know {x} at {n}?",
        "Please look up {x} of {n}.",
        "A question about {n}: what is {x}?",
        "Could you say what {x} is at {n}?",
        "I am looking for {x} of {n}.",
        "What do you know about {x} at {n}?",
        "For {n}, what is {x}?",
        "Somebody asked me about {x} at {n}.",
        "Is there anything about {x} at {n}?",
    ),
    "new": (
        "Would you mind finding out {x} at {n}?",
        "My friend wants to hear {x} of {n}, any idea?",
        "{x} at {n}, please?",
        "Remind me of {x} for {n}.",
        "Regarding {n}, I am after {x}.",
    ),
}

# Sentences that tell nothing one would ask for.
FILLERS: tuple[str, ...] = (
    "We look forward to your visit.",
    "Everybody is welcome here.",
    "We do our best for each of our customers.",
    "Our regulars come back again and again.",
    "We like it quiet and friendly.",
    "Many of our customers have become friends.",
    "Please ask us if anything is unclear.",
    "The coffee is always hot.",
    "We care for good work and fair dealings.",
    "There is always somebody who can help.",
    "Good things take a little time.",
    "We thank you for your trust.",
)
