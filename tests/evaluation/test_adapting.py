"""A query adapter: its gradient against differences, a distortion that it undoes, and when none
is kept."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import pytest

from customize import (
    Batch,
    DataError,
    Done,
    Encoder,
    LoRA,
    Snapshot,
    adapt_index,
    build_index,
    open_index,
    update_index,
)
from customize.interfaces.index import Vectors
from customize.retrieval.fitting import By, Wanted, fitted, loss_and_gradient
from customize.testing import ToyBackend

RNG = np.random.default_rng(3)
DIMENSIONS, CHUNKS = 8, 80


def units(count: int, dimensions: int) -> Vectors:
    drawn = RNG.normal(size=(count, dimensions))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), np.float32)


def wanted(by: By) -> Wanted:
    shares_QC = RNG.random((5, 7)) * (RNG.random((5, 7)) < 0.6)
    shares_QC[:, 0] += 0.1
    compared_QC = np.ones((5, 7), bool) if by == "labels" else shares_QC > 0
    shares_QC /= shares_QC.sum(axis=1, keepdims=True)
    return Wanted(units(5, 4), units(7, 4), shares_QC, compared_QC, by)


@pytest.mark.parametrize("by", ["labels", "likelihoods"])
def test_the_gradient_is_that_of_finite_differences(by: By) -> None:
    problem, map_DD = wanted(by), np.eye(4) + 0.1 * RNG.normal(size=(4, 4))
    _, gradient_DD = loss_and_gradient(map_DD, problem)
    for place in np.ndindex(4, 4):
        away = np.zeros((4, 4))
        away[place] = 1e-5
        up, _ = loss_and_gradient(map_DD + away, problem)
        down, _ = loss_and_gradient(map_DD - away, problem)
        assert gradient_DD[place] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-7)


def test_the_losses_are_the_textbooks() -> None:
    for by in ("labels", "likelihoods"):
        problem = wanted(by)
        total = 0.0
        for query, shares, compared in zip(
            problem.queries_QD, problem.shares_QC, problem.compared_QC, strict=True
        ):
            scores = np.exp(problem.chunks_CD[compared].astype(float) @ query / 0.05)
            p, q = scores / scores.sum(), shares[compared]
            if by == "labels":
                total -= float((q[q > 0] * np.log(p[q > 0])).sum())
            else:
                total += float((p * np.log(p / q)).sum())
        loss, _ = loss_and_gradient(np.eye(4), problem)
        assert loss == pytest.approx(total / 5, rel=1e-5)


def test_what_was_watched_never_gets_worse() -> None:
    learnt, watched = wanted("labels"), wanted("labels")
    watched = attrs.evolve(watched, chunks_CD=-watched.chunks_CD)  # what is learnt is wrong here
    before, _ = loss_and_gradient(np.eye(4), watched)
    after, _ = loss_and_gradient(fitted(learnt, watched), watched)
    assert after <= before


class Turned(Encoder):
    """A vector for each number, and for questions the same turned: what an adapter can undo."""

    def __init__(self, name: str = "turned", far: float = 9.0) -> None:
        rng = np.random.default_rng(7)
        drawn = rng.normal(size=(CHUNKS + 20, DIMENSIONS))
        self._vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        turned = np.eye(DIMENSIONS) + far * rng.normal(size=(DIMENSIONS, DIMENSIONS))
        self._turn = np.linalg.qr(turned)[0] * np.sign(np.linalg.qr(turned)[1].diagonal())
        self._name = name
        self.num_encoded = 0

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self._name.encode()).hexdigest()

    def encode_chunks(self, texts: Sequence[str]) -> Vectors:
        self.num_encoded += len(texts)
        return self._of(texts)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return np.asarray(self._of(texts) @ self._turn, np.float32)

    def _of(self, texts: Sequence[str]) -> Vectors:
        numbers = [int(re.findall(r"\d+", text)[0]) for text in texts]
        return np.asarray(self._vectors[numbers], np.float32)


RECORDS = [{"id": str(n), "text": f"said{n}x"} for n in range(CHUNKS)]
QUESTIONS = [
    {"question": f"asked {n}?", "answer": f"said{n}x", "document": str(n)} for n in range(CHUNKS)
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build_index(RECORDS, tmp_path / "index", encoder=Turned())
    return tmp_path / "index"


def first(folder: Path, encoder: Encoder, number: int) -> str:
    [hit] = open_index(folder, encoder).search(f"asked {number}?", 1, None)
    return hit.chunk.document


def test_a_distortion_of_queries_is_undone_and_no_document_is_encoded_again(folder: Path) -> None:
    encoder = Turned()
    found = adapt_index(folder, QUESTIONS, encoder)
    assert found.is_kept
    assert found.difference.low > 0
    assert found.after.estimate > 0.8 > 0.3 > found.before.estimate
    assert str(found).endswith("the query adapter is kept")
    assert encoder.num_encoded == 0
    assert sum(first(folder, encoder, n) == str(n) for n in range(CHUNKS)) > 0.8 * CHUNKS


def test_it_stays_when_documents_change(folder: Path) -> None:
    encoder = Turned()
    adapt_index(folder, QUESTIONS, encoder)
    new = {"id": "new", "text": f"said{CHUNKS + 5}x"}
    update_index(folder, [*RECORDS, new], encoder=encoder)
    assert encoder.num_encoded == 1
    assert first(folder, encoder, CHUNKS + 5) == "new"


def test_none_is_kept_where_no_gain_is_shown(folder: Path) -> None:
    encoder = Turned()
    adapt_index(folder, QUESTIONS, encoder)
    assert list(folder.glob("query-adapter-*"))
    asked = np.random.default_rng(0).permutation(CHUNKS)
    wrong = [{**QUESTIONS[n], "question": f"asked {m}?"} for n, m in enumerate(asked)]
    found = adapt_index(folder, wrong, encoder)
    assert not found.is_kept
    assert str(found).endswith("no query adapter is kept, as no gain is shown")
    assert not list(folder.glob("query-adapter-*"))
    assert "adapter" not in json.loads((folder / "index.json").read_text("utf-8"))


def test_another_encoder_or_a_damaged_adapter_is_refused(folder: Path) -> None:
    adapt_index(folder, QUESTIONS, Turned())
    with pytest.raises(DataError, match="another encoder's"):
        open_index(folder, Turned("other"))
    [file] = folder.glob("query-adapter-*")
    good = file.read_bytes()
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(DataError, match="is not the query adapter that"):
        open_index(folder, Turned())
    file.write_bytes(good[:-8])
    with pytest.raises(DataError, match="is damaged"):
        open_index(folder, Turned())
    file.unlink()
    with pytest.raises(DataError, match="Train it anew"):
        open_index(folder, Turned())


def test_too_few_questions_are_refused(folder: Path) -> None:
    lost = [{"question": "asked 1?", "answer": "nowhere"}] * 30
    with pytest.raises(DataError, match="got 19, and 30 that none does"):
        adapt_index(folder, [*QUESTIONS[:19], *lost], Turned())
    with pytest.raises(DataError, match="needs 'question' and 'answer'"):
        adapt_index(folder, [{"question": "asked 1?"}], Turned())


class Copying(Snapshot):
    """A token is likely where the sequence has said it before, with the token before it."""

    def __init__(self) -> None:
        self.renderer = ToyBackend().load(None).open(LoRA(), 0).renderer

    def forward(self, batch: Batch) -> Done[np.ndarray]:
        logprobs = np.zeros(batch.num_tokens, np.float32)
        for begin, end in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
            tokens = batch.tokens[begin:end].tolist()
            for place in np.flatnonzero(batch.weights[begin:end]):
                pairs = set(itertools.pairwise(tokens[:place]))
                said = (tokens[place - 1], tokens[place]) in pairs
                logprobs[begin + place] = -0.1 if said else -3.0
        return Done(logprobs)

    def sample(self, *arguments: object) -> None:  # type: ignore[override]
        raise NotImplementedError


def test_without_labels_the_likelihood_of_the_answer_teaches_the_same(folder: Path) -> None:
    unlabelled = [{key: row[key] for key in ("question", "answer")} for row in QUESTIONS]
    found = adapt_index(folder, unlabelled, Turned(far=0.3), reader=Copying())
    assert found.num_questions == CHUNKS
    assert found.is_kept
    assert found.after.estimate > 0.75 > found.before.estimate
