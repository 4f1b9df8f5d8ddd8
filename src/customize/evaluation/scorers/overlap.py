"""How much of a reference an answer has in common with it. Knows words, and no meaning."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

from customize._options import option, options
from customize.evaluation.scorers.texts import Texts, references
from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Answer, Score, Scorer

_ARTICLES = {"a", "an", "the"}
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@options
class TokenF1(Scorer):
    """F1 of words, as for SQuAD (arXiv 1606.05250): no case, punctuation or articles."""

    texts: Texts = option(default=(), help="References; the row's own answer unless given.")
    at_least: float | None = option(
        default=None, help="Right from here on; needed in expect.", at_least=0, at_most=1
    )

    def score(self, answer: Answer, row: Row) -> Score:
        return _best(token_f1, answer.text, references(self.texts, row), self.at_least)


@options
class RougeL(Scorer):
    """F1 of the longest common subsequence of words (Lin 2004), without stemming."""

    texts: Texts = option(default=(), help="References; the row's own answer unless given.")
    at_least: float | None = option(
        default=None, help="Right from here on; needed in expect.", at_least=0, at_most=1
    )

    def score(self, answer: Answer, row: Row) -> Score:
        return _best(rouge_l, answer.text, references(self.texts, row), self.at_least)


def token_f1(text: str, reference: str) -> float:
    """1 for two texts without words."""
    said, meant = _words(text), _words(reference)
    if not said or not meant:
        return float(said == meant)
    return _f1(sum((Counter(said) & Counter(meant)).values()), len(said), len(meant))


def rouge_l(text: str, reference: str) -> float:
    """0 where either has no words."""
    said, meant = _rouge_words(text), _rouge_words(reference)
    return _f1(_common(said, meant), len(said), len(meant))


def _best(
    measure: Callable[[str, str], float], text: str, among: Sequence[str], at_least: float | None
) -> Score:
    if not among:
        return None
    best = max(measure(text, each) for each in among)
    return best if at_least is None else best >= at_least


def _f1(shared: int, num_said: int, num_meant: int) -> float:
    return 2 * shared / (num_said + num_meant) if shared else 0.0


def _words(text: str) -> list[str]:
    words = text.lower().translate(_PUNCTUATION).split()
    return [word for word in words if word not in _ARTICLES]


def _rouge_words(text: str) -> list[str]:
    return re.findall("[a-z0-9]+", text.lower())


def _common(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(right) + 1)
    for word in left:
        before = 0
        for place, other in enumerate(right, 1):
            above = row[place]
            row[place] = before + 1 if word == other else max(above, row[place - 1])
            before = above
    return row[-1]
