"""A model that is asked with what an index finds. Trains nothing, and knows no run."""

from __future__ import annotations

import attrs

from customize.evaluation.columns import SnapshotColumn
from customize.evaluation.questions import Question
from customize.retrieval.grounding import last_question
from customize.retrieval.library import Library


@attrs.frozen
class RetrievingColumn(SnapshotColumn):
    """Every question is put after the passages that its library finds for it.

    It searches with what the user said last, and sees what every asker may see. The time of the
    search is in no latency.
    """

    library: Library = attrs.field(kw_only=True)

    def as_asked(self, question: Question) -> Question:
        """With passages; a row that brings documents of its own is asked with those.

        The ``passages`` are the row's from then on, and what is said where they do not tell is its
        ``abstention``, so that scorers see what the model was shown and is to say.
        """
        place = last_question(question.messages)
        if place is None or question.documents:
            return question
        said = str(question.messages[place].get("content") or "")
        grounding = self.library.grounding
        chunks = [hit.chunk for hit in self.library.hits(said)]
        return attrs.evolve(
            question,
            messages=grounding.within(question.messages, place, chunks),
            row={
                **question.row,
                "passages": [grounding.passage(chunk) for chunk in chunks],
                "abstention": grounding.abstention,
            },
        )
