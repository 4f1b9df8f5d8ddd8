"""The index in Tantivy: the rules of every index, the scores of BM25, and what keeps it."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import customize
from customize import Chunk, DataError, index_terms
from customize.testing import ToyBackend, conformance

pytest.importorskip("tantivy")

from customize_tantivy.index import TantivyIndex

test_index = conformance(index=TantivyIndex)
test_plugin = conformance(plugin="customize_tantivy._plugin")

WORDS = [f"word{n}" for n in range(40)]


def corpus(count: int = 120) -> list[Chunk]:
    """Chunks of words that are drawn, a third of them for staff alone."""
    rng = np.random.default_rng(0)
    made = []
    for n in range(count):
        text = " ".join(rng.choice(WORDS, rng.integers(5, 30)).tolist())
        tags = frozenset({"staff"}) if n % 3 == 0 else frozenset[str]()
        made.append(Chunk(f"{n:03}", text, (0, len(text)), tags=tags))
    return made


def bm25(chunks: list[Chunk], query: str) -> dict[str, float]:
    """Robertson's scores with k1 = 1.2 and b = 0.75, by their definition."""
    texts = {chunk.id: chunk.text.split() for chunk in chunks}
    mean = sum(map(len, texts.values())) / len(texts)
    scores = dict.fromkeys(texts, 0.0)
    for word in dict.fromkeys(query.split()):
        having = sum(word in text for text in texts.values())
        idf = math.log(1 + (len(texts) - having + 0.5) / (having + 0.5))
        for id, text in texts.items():
            count = Counter(text)[word]
            norm = 1.2 * (1 - 0.75 + 0.75 * len(text) / mean)
            scores[id] += idf * count * 2.2 / (count + norm)
    return scores


def test_the_score_is_bm25_whoever_asks() -> None:
    chunks = corpus()
    index = TantivyIndex()
    index.add(chunks)
    query = "word3 word17 word29"
    expected = bm25(chunks, query)
    for asker in (None, ()):
        hits = index.search(query, 20, asker)
        assert len(hits) == 20
        seen = [chunk for chunk in chunks if asker is None or not chunk.tags]
        best = sorted((expected[chunk.id] for chunk in seen), reverse=True)[:20]
        # Lengths of texts are kept in a byte.
        assert [hit.score for hit in hits] == pytest.approx(best, rel=0.02)


def test_terms_that_most_chunks_have_are_left_out_of_a_large_index() -> None:
    many = [Chunk(f"{n}", f"common frequent word{n}", (0, 9)) for n in range(1200)]
    rare = Chunk("rare", "common rare treasure", (0, 20))
    index = TantivyIndex()
    index.add([*many, rare])
    [hit] = index.search("common rare treasure", 5)  # else "common" would find five
    assert hit.chunk == rare
    expected = bm25([*many, rare], "rare treasure")[rare.id]
    assert hit.score == pytest.approx(expected, rel=0.02)
    assert len(index.search("common frequent", 5)) == 5  # where nothing else is asked


def test_in_a_small_index_no_term_is_left_out() -> None:
    index = TantivyIndex()
    index.add(Chunk(f"{n}", f"common word{n}", (0, 9)) for n in range(50))
    assert len(index.search("common word7 word8", 60)) == 50


def test_better_chunks_of_others_take_no_place() -> None:
    hidden = [Chunk(f"{n}", "treasure", (0, 8), tags={"staff"}) for n in range(90)]
    seen = [Chunk(f"seen{n}", f"treasure and word{n}", (0, 9)) for n in range(12)]
    index = TantivyIndex()
    index.add([*hidden, *seen])
    for k in (5, 20):
        assert {hit.chunk.tags for hit in index.search("treasure", k)} == {frozenset()}
        assert len(index.search("treasure", k)) == min(k, 12)
        assert len(index.search("treasure", k, {"staff"})) == k


def test_saving_cuts_no_chunk_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[str] = []

    def counted(text: str) -> list[str]:
        cut.append(text)
        return index_terms(text)

    monkeypatch.setattr("customize_tantivy.index.index_terms", counted)
    index = TantivyIndex()
    for start in range(0, 120, 10):
        index.add(corpus()[start : start + 10])
    index.delete(["nobody's"])
    index.save(tmp_path / "index")
    assert len(cut) == 120
    loaded = TantivyIndex.load(tmp_path / "index")
    assert list(loaded.chunks()) == corpus()
    assert loaded.search("word3 word17", 9) == index.search("word3 word17", 9)


def test_its_temporary_folder_goes_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    index = TantivyIndex()
    assert not list(tmp_path.iterdir())
    index.add(corpus(20))
    assert len(list(tmp_path.iterdir())) == 1
    del index
    assert not list(tmp_path.iterdir())


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    index = TantivyIndex()
    index.add(corpus(20))
    index.save(tmp_path / "index")
    meta = tmp_path / "index" / "meta.json"
    meta.write_text(json.dumps({**json.loads(meta.read_text()), "segments": 1}))
    with pytest.raises(DataError, match="no whole index"):
        TantivyIndex.load(tmp_path / "index")


def test_an_assistant_is_kept_with_it(tmp_path: Path) -> None:
    index = TantivyIndex()
    index.add(corpus(20))
    customize.save_assistant(tmp_path, customize.Grounding(), index, "renderer")
    told = json.loads((tmp_path / "index" / "index.json").read_text())
    assert told["index"] == "customize-tantivy:tantivy"
    assert customize.open_index(tmp_path / "index").fingerprint == index.fingerprint


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
        options={"index": "tantivy", "replay": 0.0, "max_rows": 2},
        backend=ToyBackend(),
        evaluate=False,
    )
    for _ in range(2):  # what opening it leaves does not break its seal
        assistant = customize.open(tmp_path / "run", backend=ToyBackend()).assistant()
        assert isinstance(assistant.index, TantivyIndex)
        assert [hit.chunk.document for hit in assistant.hits("doors")] == ["shop"]
        assert "staff" in {hit.chunk.document for hit in assistant.hits("doors", {"staff"})}
