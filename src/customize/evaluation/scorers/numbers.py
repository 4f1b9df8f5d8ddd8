"""Whether an answer gives a number. Knows how people write numbers, and no model."""

from __future__ import annotations

import re
from decimal import Decimal

from customize._options import option, options
from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Answer, Score, Scorer

# Groups of thousands may be set off by commas, blanks or underscores.
_NUMBER = re.compile(
    r"(?<![\w.])[-+\u2212]?(?:\d{1,3}(?:[,_ \u00a0]\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?"
)


@options
class Number(Scorer):
    """The last number in the answer is this one: reasoning before it does not count."""

    value: float = option(help="The right number.")
    within: float = option(default=0.0, help="How far off it may be.", at_least=0)

    def score(self, answer: Answer, row: Row) -> Score:
        found = numbers(answer.text)
        if not found:
            return False
        away = abs(found[-1] - Decimal(repr(self.value)))
        return away <= Decimal(repr(self.within))


def numbers(text: str) -> list[Decimal]:
    """All numbers in a text, in order."""
    return [
        Decimal(re.sub("[,_ \u00a0]", "", match).replace("\u2212", "-"))
        for match in _NUMBER.findall(text)
    ]
