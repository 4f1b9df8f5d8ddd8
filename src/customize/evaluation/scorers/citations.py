"""Whether an answer cites the right documents, and quotes them as they are. Knows no meaning."""

from __future__ import annotations

import re

from customize._options import option, options
from customize.evaluation.scorers.texts import plain
from customize.interfaces.dataset import Row
from customize.interfaces.scorer import Answer, Score, Scorer

_CITED = re.compile(r"\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]")
_QUOTED = re.compile(r'"([^"]+)"|\u201c([^\u201d]+)\u201d|\u00ab([^\u00bb]+)\u00bb')


@options
class Citations(Scorer):
    """precision, recall: of cited numbers such as [2] against the row's ``supporting`` ones.

    Numbers count the row's ``documents``, or the ``passages`` that an index found, from 1.
    exists: the share of cited ones that there are.
    verbatim: the share of quotations that are in a document word for word.
    """

    least_words: int = option(default=4, help="A shorter quotation is not checked.", at_least=1)

    def score(self, answer: Answer, row: Row) -> Score:
        documents = row.get("documents") or [{"text": p} for p in row.get("passages") or ()]
        if not documents:
            return None
        cited = citations(answer.text)
        parts = {}
        if cited:
            parts["exists"] = sum(1 <= n <= len(documents) for n in cited) / len(cited)
        if row.get("supporting") is not None:
            parts |= _against(cited, {int(n) for n in row["supporting"]})
        quoted = [q for q in quotations(answer.text) if len(q.split()) >= self.least_words]
        if quoted:
            texts = [plain(str(d.get("text", d.get("content", "")))) for d in documents]
            parts["verbatim"] = sum(_within(q, texts) for q in quoted) / len(quoted)
        return parts


def citations(text: str) -> set[int]:
    """Numbers cited, as [2] or [1, 3]."""
    return {int(n) for found in _CITED.findall(text) for n in re.findall(r"\d+", found)}


def quotations(text: str) -> list[str]:
    """What stands between quotation marks."""
    return ["".join(parts) for parts in _QUOTED.findall(text)]


def _against(cited: set[int], supporting: set[int]) -> dict[str, float]:
    """ALCE's definitions (arXiv 2305.14627) with known supporting documents; none of none is 1."""
    both = len(cited & supporting)
    return {
        "precision": both / len(cited) if cited else float(not supporting),
        "recall": both / len(supporting) if supporting else float(not cited),
    }


def _within(quotation: str, texts: list[str]) -> bool:
    wanted = plain(quotation).strip(" .,;:!?")
    return any(wanted in text for text in texts)
