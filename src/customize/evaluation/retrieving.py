"""A model that is asked with what an index finds. Trains nothing, and knows no run."""

from __future__ import annotations

import attrs

from customize.evaluation.columns import SnapshotColumn
from customize.evaluation.questions import Question
from customize.interfaces.index import Index
from customize.retrieval.grounding import Grounding, last_question


@attrs.frozen
class RetrievingColumn(SnapshotColumn):
    """Every question is put after the passages that its index finds for it.

    It searches with what the user said last, and sees what every asker may see. The time of the
    search is in no latency.
    """

    index: Index = attrs.field(kw_only=True)
    grounding: Grounding = attrs.field(kw_only=True)

    def as_asked(self, question: Question) -> Question:
        """With passages; a row that brings documents of its own is asked with those.

        The ``passages`` are the row's from then on, so that scorers see what the model was shown.
        """
        place = last_question(question.messages)
        if place is None or question.documents:
            return question
        said = str(question.messages[place].get("content") or "")
        chunks = [hit.chunk for hit in self.index.search(said, self.grounding.k)]
        return attrs.evolve(
            question,
            messages=self.grounding.within(question.messages, place, chunks),
            row={**question.row, "passages": [self.grounding.passage(c) for c in chunks]},
        )
