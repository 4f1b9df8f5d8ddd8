"""A model that is asked with what an index finds. Trains nothing, and knows no run."""

from __future__ import annotations

import attrs

from customize.evaluation.columns import SnapshotColumn
from customize.evaluation.prompting import Prompting
from customize.evaluation.questions import Question
from customize.interfaces.index import Index
from customize.retrieval.grounding import Grounding


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
        place = _last_of_user(question)
        if place is None or question.documents:
            return question
        before, after = question.messages[:place], question.messages[place + 1 :]
        said = str(question.messages[place].get("content") or "")
        chunks = [hit.chunk for hit in self.index.search(said, self.grounding.k)]
        instruction, shown = self.grounding.messages(said, chunks)
        before = Prompting(instruction["content"]).applied(before)
        return attrs.evolve(
            question,
            messages=[*before, shown, *after],
            row={**question.row, "passages": [self.grounding.passage(c) for c in chunks]},
        )


def _last_of_user(question: Question) -> int | None:
    places = [n for n, message in enumerate(question.messages) if message["role"] == "user"]
    return places[-1] if places else None
