"""Search as a tool that a model calls. Knows indexes, and neither models nor environments."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from customize._errors import OptionError
from customize.interfaces.index import Index
from customize.retrieval.grounding import Grounding
from customize.retrieval.index_folder import open_index


def search_in(
    index: Index | str | Path,
    k: int = 3,
    filter: Collection[str] | None = (),
    name: str = "search",
) -> Callable[[str], str]:
    """The tool ``search`` over an index, or the folder of one: for ``tools=[…]`` of a method.

    It shows ``k`` passages at most, of those that an asker with the tags ``filter`` may see. What
    it shows is read and not learnt, as what every tool gives. A run goes on with the same index
    alone. ``name`` is what the model calls it by: of several tools each needs one of its own.

    Raises:
        DataError, OptionError: as `open_index`; ``filter`` is a text, or ``name`` no name.
    """
    Index.check_filter(filter)
    if not name.isidentifier():
        raise OptionError(
            f"a tool is named by letters, digits and _, as a function is (got {name!r})"
        )
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

    # A recipe knows a function by its name, its source and what it carries.
    search.__name__, search.__qualname__ = name, f"search_in.<locals>.{name}"
    tags = "all" if asker is None else sorted(asker)
    search.searched = f"{searched.fingerprint} as {tags}"  # type: ignore[attr-defined]
    return search
