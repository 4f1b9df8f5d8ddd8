"""The scorer: what an answer is worth. Knows no model, and not what is done with scores."""

from __future__ import annotations

from customize import Answer, DataError, Row, Scorer, option, options


@options
class Example(Scorer):
    """The share of the row's ``terms``, a list of texts, that the answer says."""

    capitals: bool = option(default=False, help="Whether capitals count.")

    def score(self, answer: Answer, row: Row) -> float | None:
        terms = row.get("terms")
        if terms is None:
            return None
        if not isinstance(terms, list) or not terms:
            raise DataError(f"terms must be a list of texts, and not empty (got {terms!r})")
        said = self._plain(answer.text)
        return sum(self._plain(str(term)) in said for term in terms) / len(terms)

    def _plain(self, text: str) -> str:
        return text if self.capitals else text.casefold()
