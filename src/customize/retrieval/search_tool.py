"""Search as a tool that a model calls. Knows indexes, and neither models nor environments."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from customize.interfaces.index import Index
from customize.retrieval.grounding import Grounding
from customize.retrieval.index_folder import open_index


def search_in(
    index: Index | str | Path, k: int = 3, filter: Collection[str] | None = ()
) -> Callable[[str], str]:
    """The tool ``search`` over an index, or the folder of one: for ``tools=[…]`` of a method.

    It shows ``k`` passages at most, of those that an asker with the tags ``filter`` may see. What
    it shows is read and not learnt, as what every tool gives. A run goes on with the same index
    alone.

    Raises:
        DataError, OptionError: as `open_index`; or ``filter`` is a text.
    """
    Index.check_filter(filter)
    searched = index if isinstance(index, Index) else open_index(index)
    asker = None if filter is None else frozenset(filter)

    def search(query: str) -> str:
        """Search the documents. Gives the passages that fit best.

        query: what to look for, in a few words
        """
        hits = searched.search(query, k, asker)
        if not hits:
            return f"Nothing in the documents fits {query!r}."
        shown = (Grounding.passage(hit.chunk) for hit in hits)
        return "\n".join(f"[{place}] {text}" for place, text in enumerate(shown, start=1))

    # A recipe knows a function by its source and by what it carries.
    tags = "all" if asker is None else sorted(asker)
    search.searched = f"{searched.fingerprint} as {tags}"  # type: ignore[attr-defined]
    return search
