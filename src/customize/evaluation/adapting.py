"""A map of an index's queries, trained on questions and kept only where it finds more.

Every question is measured with a map that has seen neither it nor another question about its
document. Shape legend: Q questions, C chunks, D dimensions, K chunks that are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from customize._errors import DataError, OptionError
from customize.evaluation.columns import SnapshotColumn
from customize.evaluation.questions import Question
from customize.evaluation.statistics import Interval, cluster_numbers, mean, superior
from customize.interfaces.index import Chunk, Encoder, Index
from customize.interfaces.session import Snapshot
from customize.retrieval.evidence import find_answer
from customize.retrieval.fitting import By, Doubles, Wanted, fitted
from customize.retrieval.fusion import FusedIndex
from customize.retrieval.grounding import Grounding
from customize.retrieval.index_folder import open_index, read_facts, write_adapter
from customize.retrieval.metrics import reciprocal_rank
from customize.retrieval.query_adapter import AdaptedEncoder, QueryAdapter, plain

_FOLDS = 5
_LEAST = 20  # questions
_DEPTH = 50  # of a ranking that is looked at
_READ = 8  # chunks that a reader is shown, one at a time
_SHARPNESS = 0.1  # the β of REPLUG's softmax over likelihoods a token


@attrs.frozen
class Adapted:
    """What became of a query adapter.

    is_kept: the index has it. before, after: the mean reciprocal rank of what was sought, without
    and with a map that has not seen the question. difference: of the two, paired.
    num_left_out: questions that no chunk answers.
    """

    is_kept: bool
    before: Interval
    after: Interval
    difference: Interval
    num_questions: int
    num_left_out: int

    def __str__(self) -> str:
        said = (
            f"MRR {self.before.estimate:.3f} -> {self.after.estimate:.3f} on {self.num_questions} "
            f"held-out questions, a change of {self.difference.estimate:+.3f} "
            f"[{self.difference.low:+.3f}, {self.difference.high:+.3f}]"
        )
        outcome = (
            "the query adapter is kept"
            if self.is_kept
            else "no query adapter is kept, as no gain is shown"
        )
        return f"{said}: {outcome}"


@attrs.frozen
class _Sought:
    """A question and the chunks that answer it. shares: by chunk, 1 in all."""

    question: str
    document: str
    wanted: frozenset[str]
    shares: Mapping[str, float]


def adapt_index(
    folder: str | Path,
    questions: Iterable[Mapping[str, Any]],
    encoder: Encoder | str | None = None,
    reader: Snapshot | None = None,
) -> Adapted:
    """Train a linear map of the queries of an index with vectors, and keep it where it helps.

    No document is encoded again. Where the gain in mean reciprocal rank on held-out questions is
    not shown to be above 0, by a paired 95 % interval, the index has none afterwards.

    Args:
        folder: of an index that `build_index` made.
        encoder: as for `open_index`.
        questions: each with ``question`` and ``answer``, and ``document`` where it is known. The
            chunks that hold the answer are sought.
        reader: a model that tells how likely the answer is given each of the chunks that are
            found, and no label is used (REPLUG, arXiv 2301.12652): the likeliest is sought.

    Raises:
        DataError: there are fewer than 20 such questions, or as for `open_index`.
        OptionError: the index has no vectors.
    """
    folder = Path(folder)
    adapter, told = _trained(open_index(folder, encoder), questions, reader)
    write_adapter(folder, read_facts(folder), adapter, str(told))
    return told


def adapted_index(
    index: Index, questions: Iterable[Mapping[str, Any]], reader: Snapshot | None = None
) -> tuple[Index, Adapted]:
    """The same for an index that is open: as it is asked by a query adapter that helps, or without.

    `save_assistant` keeps the adapter with the index.

    Raises:
        DataError, OptionError: as `adapt_index`.
    """
    adapter, told = _trained(index, questions, reader)
    assert isinstance(index, FusedIndex)
    encoder = plain(index.encoder)
    return index.asked_by(AdaptedEncoder(encoder, adapter) if adapter else encoder), told


def _trained(
    opened: Index, questions: Iterable[Mapping[str, Any]], reader: Snapshot | None
) -> tuple[QueryAdapter | None, Adapted]:
    if not isinstance(opened, FusedIndex):
        raise OptionError("a query adapter maps vectors, and the index has none: give an encoder")
    encoder = plain(opened.encoder)
    index = opened.asked_by(encoder)
    asked = list(questions)
    sought = list(_labelled(index, asked) if reader is None else _read(index, asked, reader))
    if len(sought) < _LEAST:
        raise DataError(
            f"a query adapter needs {_LEAST} questions at least that a chunk answers (got "
            f"{len(sought)}, and {len(asked) - len(sought)} that none does)"
        )
    wanted = _wanted(index, sought, "labels" if reader is None else "likelihoods")
    keys = _keys(sought)
    folds_Q = _folds(keys)
    before_Q = _ranks(index, sought)
    after_Q = np.zeros(len(sought))
    for fold in range(_FOLDS):
        adapted = index.asked_by(AdaptedEncoder(encoder, _fitted(wanted, folds_Q, fold, encoder)))
        own = np.flatnonzero(folds_Q == fold)
        after_Q[own] = _ranks(adapted, [sought[number] for number in own])
    clusters_Q = cluster_numbers(keys)
    difference = mean(after_Q - before_Q, clusters_Q)
    is_kept = superior(difference) == "pass"
    adapter = _fitted(wanted, folds_Q, None, encoder) if is_kept else None
    return adapter, Adapted(
        is_kept,
        mean(before_Q, clusters_Q),
        mean(after_Q, clusters_Q),
        difference,
        len(sought),
        len(asked) - len(sought),
    )


def _labelled(index: FusedIndex, asked: Sequence[Mapping[str, Any]]) -> Iterator[_Sought]:
    """Those whose answer some chunk holds, of the document where one is named."""
    by_document: dict[str, list[Chunk]] = {}
    for chunk in index.chunks():
        by_document.setdefault(chunk.document, []).append(chunk)
    for row in asked:
        question, answer = _texts(row)
        named = row.get("document")
        among = by_document.get(str(named), []) if named is not None else _found(index, question)
        holding = [chunk for chunk in among if find_answer(answer, chunk.text)]
        if holding:
            ids = frozenset(chunk.id for chunk in holding)
            shares = dict.fromkeys(ids, 1 / len(ids))
            yield _Sought(question, holding[0].document, ids, shares)


def _read(
    index: FusedIndex, asked: Sequence[Mapping[str, Any]], reader: Snapshot
) -> Iterator[_Sought]:
    """By how likely the reader finds the answer given each chunk that is found."""
    column, grounding = SnapshotColumn("reader", reader), Grounding()
    for row in asked:
        question, answer = _texts(row)
        chunks = _found(index, question)[:_READ]
        if len(chunks) < 2:
            continue
        shown = [grounding.messages(question, [chunk]) for chunk in chunks]
        replies = [
            (Question(chunk.id, {"messages": messages}, messages), answer)
            for chunk, messages in zip(chunks, shown, strict=True)
        ]
        said = column.likelihoods(replies)
        nats_K = np.array([one.logprob / one.num_tokens for one in said]) / _SHARPNESS
        shares_K = np.exp(nats_K - nats_K.max())
        shares = dict(zip((c.id for c in chunks), shares_K / shares_K.sum(), strict=True))
        best = chunks[int(nats_K.argmax())]
        yield _Sought(question, best.document, frozenset([best.id]), shares)


def _texts(row: Mapping[str, Any]) -> tuple[str, str]:
    try:
        return str(row["question"]), str(row["answer"])
    except KeyError as error:
        raise DataError(
            f"a question of a query adapter needs 'question' and 'answer' (got {sorted(row)})"
        ) from error


def _found(index: FusedIndex, question: str) -> list[Chunk]:
    return [hit.chunk for hit in index.search(question, _DEPTH, None)]


def _wanted(index: FusedIndex, sought: Sequence[_Sought], by: By) -> Wanted:
    """Compared are what is near any question and what is sought; of likelihoods what was read."""
    ids, vectors_CD = index.encoded()
    queries_QD = index.encoder.encode_queries([one.question for one in sought])
    rows_of = {id: row for row, id in enumerate(ids)}
    pool = {rows_of[id] for one in sought for id in one.shares}
    if by == "labels":
        for query_D in queries_QD:
            pool.update(np.argsort(-(vectors_CD @ query_D), kind="stable")[:_DEPTH].tolist())
    chosen = sorted(pool)
    place = {row: number for number, row in enumerate(chosen)}
    shares_QC = np.zeros((len(sought), len(chosen)))
    for number, one in enumerate(sought):
        for id, share in one.shares.items():
            shares_QC[number, place[rows_of[id]]] = share
    compared_QC = shares_QC > 0 if by == "likelihoods" else np.ones_like(shares_QC, bool)
    return Wanted(queries_QD, vectors_CD[chosen], shares_QC, compared_QC, by)


def _keys(sought: Sequence[_Sought]) -> list[str]:
    """What questions have in common: their document, or their chunk where documents are few."""
    documents = [one.document for one in sought]
    if len(set(documents)) >= 2 * _FOLDS:
        return documents
    return [min(one.wanted) for one in sought]


def _folds(keys: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Each question's; questions with one key are in one."""
    order = sorted(set(keys), key=lambda key: hashlib.sha256(key.encode()).digest())
    number = {key: place % _FOLDS for place, key in enumerate(order)}
    return np.array([number[key] for key in keys])


def _fitted(
    wanted: Wanted, folds_Q: np.ndarray[Any, np.dtype[np.int64]], out: int | None, encoder: Encoder
) -> QueryAdapter:
    """Of all folds but ``out``; the one after it says when to stop."""
    watched = 0 if out is None else (out + 1) % _FOLDS
    learnt_Q = (folds_Q != watched) & (folds_Q != (-1 if out is None else out))
    map_DD: Doubles = fitted(wanted.of(learnt_Q), wanted.of(folds_Q == watched))
    return QueryAdapter(map_DD.astype(np.float32), encoder.fingerprint)


def _ranks(index: FusedIndex, sought: Sequence[_Sought]) -> Doubles:
    """The reciprocal rank of each."""
    return np.array(
        [
            reciprocal_rank([chunk.id for chunk in _found(index, one.question)], one.wanted)
            for one in sought
        ]
    )
