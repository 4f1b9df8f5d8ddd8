"""The index in LanceDB: the rules of every index, an object store, and vectors beside the words."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import customize
from customize import Chunk, DataError, Encoder, OptionError, fused
from customize.retrieval.fusion import FusedIndex
from customize.testing import ToyBackend, conformance

pytest.importorskip("lancedb")

from customize_lancedb.index import LanceIndex

test_index = conformance(index=LanceIndex)
test_plugin = conformance(plugin="customize_lancedb._plugin")


class Letters(Encoder):
    """Counts letters."""

    def __init__(self, name: str = "letters") -> None:
        self._name = name

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self._name.encode()).hexdigest()

    def encode_queries(self, texts: Sequence[str]) -> Any:
        counts = np.array([[1 + text.lower().count(c) for c in "abcdefgh"] for text in texts])
        return (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(np.float32)

    def encode_chunks(self, texts: Sequence[str]) -> Any:
        return self.encode_queries(texts)


def chunk(text: str, document: str, *tags: str) -> Chunk:
    return Chunk(document, text, (0, len(text)), ("Menu",), frozenset(tags))


CHUNKS = [
    chunk("add a cabbage", "a"),
    chunk("eggs and beef", "b"),
    chunk("hidden cabbage", "c", "it's hr"),
    chunk("zzz", "d"),
]


def test_what_is_in_an_object_store_is_there_at_once(tmp_path: Path) -> None:
    uri = f"file-object-store://{tmp_path / 'bucket'}"  # a store, by the driver of stores
    index = LanceIndex(uri)
    assert index.search("cabbage", 3) == []
    index.add(CHUNKS)
    index.delete([CHUNKS[1].id])
    again = LanceIndex(uri)
    assert [one.document for one in again.chunks()] == ["a", "c", "d"]
    assert again.fingerprint == index.fingerprint
    assert [hit.chunk.document for hit in again.search("cabbage", 9)] == ["a"]
    again.save(tmp_path / "here")
    assert LanceIndex.load(tmp_path / "here").fingerprint == index.fingerprint


def test_words_and_vectors_are_fused_as_everywhere() -> None:
    index = LanceIndex(encoder=Letters())
    index.add(CHUNKS[:2])
    index.add(CHUNKS)
    vectors = Letters().encode_chunks([one.headed for one in CHUNKS])
    order = np.argsort(-(vectors @ Letters().encode_queries(["cabbage"])[0]), kind="stable")
    plain = LanceIndex()
    plain.add(CHUNKS)
    by_words = [hit.chunk.id for hit in plain.search("cabbage", 9, None)]
    assert len(by_words) == 2
    expected = fused([by_words, [CHUNKS[place].id for place in order]])
    found = {hit.chunk.id: hit.score for hit in index.search("cabbage", 9, None)}
    assert found == pytest.approx(expected)


def test_a_tag_is_no_syntax_and_hides_from_both_rankings() -> None:
    index = LanceIndex(encoder=Letters())
    index.add(CHUNKS)
    assert "c" not in [hit.chunk.document for hit in index.search("hidden cabbage", 9)]
    assert index.search("hidden cabbage", 1, ["it's hr"])[0].chunk.document == "c"
    for tag in ("') OR (''='", "x' OR everyone = false OR '", "hr"):
        assert "c" not in [hit.chunk.document for hit in index.search("cabbage", 9, [tag])]
    index.delete(["') OR (''='"])
    assert len(index) == len(CHUNKS)


def test_another_encoder_is_refused(tmp_path: Path) -> None:
    uri = str(tmp_path / "index")
    LanceIndex(uri, encoder=Letters()).add(CHUNKS)
    assert len(LanceIndex(uri, encoder=Letters())) == len(CHUNKS)
    with pytest.raises(DataError, match="another encoder"):
        LanceIndex(uri, encoder=Letters("others"))
    with pytest.raises(OptionError, match="give their encoder"):
        LanceIndex(uri)
    LanceIndex(str(tmp_path / "plain")).add(CHUNKS)
    with pytest.raises(OptionError, match="leave out the encoder"):
        LanceIndex(str(tmp_path / "plain"), encoder=Letters())


def test_an_index_with_an_encoder_is_saved_fused_and_not_by_itself(tmp_path: Path) -> None:
    uri = str(tmp_path / "here")
    index = LanceIndex(uri, encoder=Letters())
    index.add(CHUNKS)
    with pytest.raises(OptionError, match=r"save FusedIndex\(LanceIndex\(\), encoder\)"):
        index.save(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    with pytest.raises(DataError, match=r"has vectors: open it with LanceIndex\('.*here', encoder"):
        LanceIndex.load(tmp_path / "here")
    fused_index = FusedIndex(LanceIndex(), Letters())
    fused_index.add(CHUNKS)
    fused_index.save(tmp_path / "fused")
    loaded = FusedIndex.of(tmp_path / "fused", LanceIndex, Letters())
    found = {hit.chunk.id: hit.score for hit in loaded.search("cabbage", 9, None)}
    expected = {hit.chunk.id: hit.score for hit in index.search("cabbage", 9, None)}
    assert found == pytest.approx(expected)


def test_a_run_answers_from_it(tmp_path: Path) -> None:
    pytest.importorskip("customize_rag")
    documents: list[dict[str, Any]] = [
        {"id": "shop", "text": "The doors open at 10:20 am."},
        {"id": "camp", "text": "A tent pitch costs $31.20."},
        {"id": "staff", "text": "The doors open with the code 4711.", "tags": ["staff"]},
    ]
    customize.train(
        model="toy",
        data=documents,
        to=tmp_path / "run",
        method="rag",
        options={"index": "lancedb", "replay": 0.0, "max_rows": 2},
        backend=ToyBackend(),
        evaluate=False,
    )
    for _ in range(2):  # what opening it leaves does not break its seal
        assistant = customize.open(tmp_path / "run", backend=ToyBackend()).assistant()
        assert isinstance(assistant.index, LanceIndex)
        assert [hit.chunk.document for hit in assistant.hits("doors")] == ["shop"]
        assert "staff" in {hit.chunk.document for hit in assistant.hits("doors", {"staff"})}
