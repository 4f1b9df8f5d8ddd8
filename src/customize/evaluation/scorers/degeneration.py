"""Answers that fell apart: empty, endless, or the same again and again. Knows no meaning."""

from __future__ import annotations

from collections import Counter

from customize._options import option, options
from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Answer, Score, Scorer


@options
class Degeneration(Scorer):
    """empty: nothing is said. cut: the limit of tokens came first. repeats: a run of words thrice.

    words: how many words there are: a collapse of length shows in their mean.
    """

    lower_is_better = frozenset({"empty", "cut", "repeats"})

    run: int = option(default=4, help="Words of a run that may not be there thrice.", at_least=1)

    def score(self, answer: Answer, row: Row) -> Score:
        words = answer.text.split()
        return {
            "empty": float(not says_something(answer)),
            "cut": float(not answer.finished),
            "repeats": float(repeats(words, self.run)),
            "words": float(len(words)),
        }


def says_something(answer: Answer) -> bool:
    """Whether there is a word in it, or a call of a tool."""
    return bool(answer.text.split() or answer.message.get("tool_calls"))


def repeats(words: list[str], run: int) -> bool:
    """Whether any run of so many words is there three times or more."""
    runs = Counter(tuple(words[i : i + run]) for i in range(len(words) - run + 1))
    return max(runs.values(), default=0) >= 3
