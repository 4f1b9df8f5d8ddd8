"""Words and vectors fused, against the definition and brute force."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from customize import (
    Chunk,
    DataError,
    Encoder,
    OptionError,
    build_index,
    open_index,
    search_in,
    update_index,
)
from customize.interfaces.index import Vectors
from customize.retrieval.fusion import FusedIndex, fused
from customize.retrieval.sqlite_index import SqliteIndex


class Letters(Encoder):
    """Counts letters; counts what it is asked."""

    def __init__(self, name: str = "letters") -> None:
        self._name = name
        self.num_encoded = 0

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(self._name.encode()).hexdigest()

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        counts = np.array([[1 + text.lower().count(c) for c in "abcdefgh"] for text in texts])
        lengths = np.linalg.norm(counts, axis=1, keepdims=True)
        return np.asarray(counts / lengths, np.float32)

    def encode_chunks(self, texts: Sequence[str]) -> Vectors:
        self.num_encoded += len(texts)
        return self.encode_queries(texts)


def chunk(text: str, document: str, *tags: str) -> Chunk:
    return Chunk(document, text, (0, len(text)), tags=frozenset(tags))


CHUNKS = [
    chunk("add a cabbage", "a"),
    chunk("eggs and beef", "b"),
    chunk("hidden cabbage", "c", "hr"),
    chunk("zzz", "d"),
]


def test_reciprocal_ranks_are_added() -> None:
    assert fused([["a", "b"], ["b", "c"]]) == pytest.approx(
        {"a": 1 / 61, "b": 1 / 62 + 1 / 61, "c": 1 / 62}
    )


def test_what_only_fills_up_the_words_is_no_ranking() -> None:
    some = [chunk(f"how do the {'abcdefgh'[: 1 + n % 7]}", f"{n}") for n in range(9)]
    index = FusedIndex(SqliteIndex(), Letters())
    index.add(some)
    query = "how do the hedges"
    assert {hit.score for hit in index.words.search(query, 9)} == {0.0}
    found = [hit.score for hit in index.search(query, 9)]
    assert found == pytest.approx([1 / (60 + rank) for rank in range(1, 10)])


def test_an_index_asked_by_another_encoder_stays_what_it_is() -> None:
    index = FusedIndex(SqliteIndex(), Letters())
    index.add(CHUNKS)
    other = index.asked_by(Letters("other"))
    other.add([chunk("gh", "e")])
    assert len(index.encoded()[0]) == len(index.encoded()[1]) == len(CHUNKS)
    assert index.search("cabbage", 9, ["hr"])


def test_both_rankings_count() -> None:
    index = FusedIndex(SqliteIndex(), Letters())
    index.add(CHUNKS)
    hits = index.search("cabbage", 9, None)
    vectors = Letters().encode_queries([one.text for one in CHUNKS])
    order = np.argsort(-(vectors @ Letters().encode_queries(["cabbage"])[0]), kind="stable")
    by_words = [hit.chunk.id for hit in index.words.search("cabbage", 9, None)]
    expected = fused([by_words, [CHUNKS[place].id for place in order]])
    assert {hit.chunk.id: hit.score for hit in hits} == pytest.approx(expected)
    assert [hit.score for hit in hits] == sorted(expected.values())[::-1]


def test_what_the_asker_may_not_see_is_in_neither_ranking() -> None:
    index = FusedIndex(SqliteIndex(), Letters())
    index.add(CHUNKS)
    assert "c" not in [hit.chunk.document for hit in index.search("hidden cabbage", 9)]
    assert index.search("hidden cabbage", 1, ["hr"])[0].chunk.document == "c"
    index.delete([one.id for one in CHUNKS if not one.tags])
    assert index.search("hidden cabbage", 9) == []


def test_half_a_character_reaches_no_encoder() -> None:
    class Strict(Letters):
        def encode_queries(self, texts: Sequence[str]) -> Vectors:
            return super().encode_queries([text.encode().decode() for text in texts])

    index = FusedIndex(SqliteIndex(), Strict())
    index.add(CHUNKS)
    assert index.search("caf\udce9 cabbage", 9) == index.search("caf? cabbage", 9)


def test_it_answers_after_deleting_and_loading_as_before(tmp_path: Path) -> None:
    index = FusedIndex(SqliteIndex(), Letters())
    index.add(CHUNKS)
    index.delete([CHUNKS[0].id, "nobody's"])
    index.add(CHUNKS[1:3])
    index.save(tmp_path / "index")
    loaded = FusedIndex.of(tmp_path / "index", SqliteIndex, Letters())
    anew = FusedIndex(SqliteIndex(), Letters())
    anew.add(CHUNKS[1:])
    assert len(index) == len(loaded) == 3
    for query in ("cabbage", "beef", "zzz"):
        assert index.search(query, 5, None) == anew.search(query, 5, None)
        assert loaded.search(query, 5, None) == anew.search(query, 5, None)


def test_an_empty_one_finds_nothing_and_k_of_none_is_refused() -> None:
    index = FusedIndex(SqliteIndex(), Letters())
    assert index.search("cabbage", 3) == []
    with pytest.raises(OptionError, match="k must be >= 1"):
        index.search("cabbage", 0)


def test_a_text_is_no_filter() -> None:
    index = FusedIndex(SqliteIndex(), Letters())
    with pytest.raises(OptionError, match=re.escape("collection of tags: give ['hr-lead']")):
        index.search("cabbage", 3, "hr-lead")
    with pytest.raises(OptionError, match="collection of tags"):
        search_in(index, filter="hr-lead")


def test_an_update_encodes_only_what_is_new(tmp_path: Path) -> None:
    records = [{"id": str(number), "text": f"cabbage {number}"} for number in range(20)]
    build_index(records, tmp_path / "index", encoder=Letters())
    encoder = Letters()
    update_index(tmp_path / "index", [*records[1:], {"text": "beef"}], encoder=encoder)
    assert encoder.num_encoded == 1
    index = open_index(tmp_path / "index", encoder=Letters())
    assert len(index) == 20
    assert index.search("beef", 1)[0].chunk.text == "beef"


def test_another_encoder_is_refused(tmp_path: Path) -> None:
    build_index([{"text": "cabbage"}], tmp_path / "index", encoder=Letters())
    with pytest.raises(DataError, match="vectors are another encoder's"):
        open_index(tmp_path / "index", encoder=Letters("others"))
    with pytest.raises(OptionError, match="give the encoder they are of"):
        open_index(tmp_path / "index")


def test_damaged_vectors_are_refused(tmp_path: Path) -> None:
    build_index([{"text": "cabbage"}], tmp_path / "index", encoder=Letters())
    [file] = (tmp_path / "index").glob("*/vectors.safetensors")
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(DataError, match="is damaged"):
        open_index(tmp_path / "index", encoder=Letters())


def of_other_chunks(file: Path) -> None:
    other = file.parents[2] / "other"
    build_index([{"text": "beef"}, {"text": "zzz", "tags": ["hr"]}], other, encoder=Letters())
    file.write_bytes(next(other.glob("*/vectors.safetensors")).read_bytes())


def without_numbers(file: Path) -> None:
    stored, rows = stored_in(file)
    save_file({"vectors": np.full_like(stored, np.nan)}, file, {"rows": rows})


def without_tags(file: Path) -> None:
    stored, rows = stored_in(file)
    open_to_all = json.dumps([[id, []] for id, _ in json.loads(rows)])
    save_file({"vectors": stored}, file, {"rows": open_to_all})


def stored_in(file: Path) -> tuple[Vectors, str]:
    with safe_open(file, "np") as stored:
        return stored.get_tensor("vectors"), stored.metadata()["rows"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (of_other_chunks, "vectors are of other chunks"),
        (without_numbers, "vectors hold what is no number"),
        (without_tags, "vectors are of other chunks"),
    ],
)
def test_vectors_that_were_changed_are_refused(
    tmp_path: Path, change: Callable[[Path], None], reason: str
) -> None:
    build_index(
        [{"text": "cabbage"}, {"text": "zzz", "tags": ["hr"]}],
        tmp_path / "index",
        encoder=Letters(),
    )
    [file] = (tmp_path / "index").glob("*/vectors.safetensors")
    FusedIndex.of(file.parent, SqliteIndex, Letters()).check()
    change(file)
    with pytest.raises(DataError, match=r"are not those that .*index\.json tells of: build"):
        open_index(tmp_path / "index", encoder=Letters())
    index = FusedIndex.of(file.parent, SqliteIndex, Letters())
    assert "zzz" not in [hit.chunk.text for hit in index.search("zzz", 9)]
    with pytest.raises(DataError, match=reason):
        index.check()
