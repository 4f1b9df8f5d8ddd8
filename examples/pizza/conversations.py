"""Reads the hand-written conversations in content/*.txt. Knows nothing of shops or checks.

A file is a list of sections, each headed ``[trait: case]``; a section is a list of blocks with an
empty line between them; a block is made of lines ``key: text``:

customer   what the customer writes
shop       what a good employee answers
prompt     a sentence added to the system prompt (optional)
without    a fact left out of the system prompt: hours, menu, delivery or phone (optional)
wants      what every right answer holds, as a regular expression (optional, may be repeated)
never      what no right answer holds, as a regular expression (optional, may be repeated)

``{name}``, ``{phone}``, ``{closes}`` and so on stand for the facts of a shop (see shops.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CONTENT = Path(__file__).parent / "content"
KEYS = ("customer", "shop", "prompt", "without", "wants", "never")


@dataclass(frozen=True)
class Conversation:
    """One question and its answer, with the placeholders still in."""

    trait: str
    case: str
    customer: str
    shop: str
    prompt: tuple[str, ...]
    without: tuple[str, ...]
    wants: tuple[str, ...]
    never: tuple[str, ...]


def read_conversations(split: str) -> list[Conversation]:
    """The conversations of ``split`` (train, dev or test), in the order of the file."""
    return list(_parse((CONTENT / f"{split}.txt").read_text(encoding="utf-8")))


def _parse(text: str) -> Iterator[Conversation]:
    trait = case = ""
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if lines and lines[0].startswith("["):
            trait, case = lines.pop(0).strip("[]").split(": ")
        if lines:
            yield _conversation(trait, case, lines)


def _conversation(trait: str, case: str, lines: list[str]) -> Conversation:
    values: dict[str, list[str]] = {key: [] for key in KEYS}
    for line in lines:
        key, _, value = line.partition(": ")
        values[key].append(value)
    (customer,), (shop,) = values.pop("customer"), values.pop("shop")
    return Conversation(
        trait, case, customer, shop, **{key: tuple(value) for key, value in values.items()}
    )
