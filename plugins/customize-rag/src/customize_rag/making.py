"""From documents to rows: chunks, an index, questions, and conversations. Trains nothing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from customize import Adapted, DataError, Dataset, Index, adapted_index, index_of
from customize_rag.extracting import extracted
from customize_rag.given import given_rows
from customize_rag.pairs import LeftOut, Pair, grounded
from customize_rag.plan import RowPlan
from customize_rag.question_file import questions_of
from customize_rag.rows import Rows

_NO_QUESTION = (
    "give questions, a file of your own; without one, English sentences with a number, a date or a "
    "name are asked about"
)


@attrs.frozen
class Made:
    """Rows to learn from, the index they were made with, and the questions that were left out.

    adapted: what came of a query adapter, where one is wanted.
    """

    rows: tuple[Mapping[str, Any], ...]
    index: Index
    left_out: tuple[LeftOut, ...]
    adapted: Adapted | None = None


def made_of(data: Dataset, plan: RowPlan) -> Made:
    """A function of its arguments, and of the file of questions.

    Raises:
        DataError: no question can be learnt from, or too few for a query adapter.
        UnknownName, PluginError, MissingDependency: of its index and encoder, as for any plugin.
    """
    index = index_of(data, plan.chunking, plan.encoder, plan.index)
    pairs, left_out = _pairs(index, plan)
    index, adapted = _adapted(index, pairs, plan)
    rows = Rows(plan, pairs, index)
    made = Made(tuple(rows), index, left_out, adapted)
    for told in rows.shortfalls():
        warnings.warn(told, stacklevel=2)
    return made


def made_with(data: Dataset, plan: RowPlan, rows: str) -> Made:
    """The same with the rows of a file, as `given_rows` takes them: what is made is the index.

    Raises:
        DataError: as `given_rows`, or there are too few questions for a query adapter.
        UnknownName, PluginError, MissingDependency: as `made_of`.
    """
    given = tuple(given_rows(plan, rows))
    index = index_of(data, plan.chunking, plan.encoder, plan.index)
    pairs, left_out = _pairs(index, plan) if plan.adapt_queries else ((), ())
    index, adapted = _adapted(index, pairs, plan)
    return Made(given, index, left_out, adapted)


def _pairs(index: Index, plan: RowPlan) -> tuple[Sequence[Pair], tuple[LeftOut, ...]]:
    asked = extracted(index.chunks()) if plan.questions is None else questions_of(plan.questions)
    pairs, left_out = grounded(asked, index, plan.quote_words)
    if not pairs:
        told = f"{left_out[0].question!r}: {left_out[0].reason}" if left_out else _NO_QUESTION
        raise DataError(f"the documents answer no question that could be learnt from: {told}")
    return pairs, tuple(left_out)


def _adapted(index: Index, pairs: Sequence[Pair], plan: RowPlan) -> tuple[Index, Adapted | None]:
    return adapted_index(index, map(_sought, pairs)) if plan.adapt_queries else (index, None)


def _sought(pair: Pair) -> Mapping[str, str]:
    return {"question": pair.question, "answer": pair.answer, "document": pair.chunk.document}
