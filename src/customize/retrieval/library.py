"""Documents that are asked: an index, and how what it finds is shown. Knows no model."""

from __future__ import annotations

from collections.abc import Collection

import attrs

from customize.interfaces.index import Hit, Index
from customize.retrieval.grounding import Grounding


@attrs.frozen
class Library:
    """What a question is put to before a model is."""

    index: Index
    grounding: Grounding

    def hits(self, question: str, filter: Collection[str] | None = ()) -> list[Hit]:
        """The passages that are shown with a question; ``filter`` are the asker's tags."""
        return self.index.search(question, self.grounding.k, filter)
