"""The index in SQLite, against BM25 by hand, brute force and an index made anew."""

from __future__ import annotations

import math
import random
import re
import sqlite3
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from words_index import WORDS, chunk, indexed, some_chunks

import customize
from customize import Chunk, OptionError
from customize.retrieval.sqlite_index import FILE, SqliteIndex


def bm25(query: str, chunks: list[Chunk]) -> dict[str, float]:
    """By its definition, with FTS5's k1 1.2, b 0.75 and least idf; those that match alone.

    A heading's words are counted twice where words are counted, and once in a text's length.
    """
    heads = {one.id: " ".join(one.heading).split() for one in chunks}
    texts = {one.id: [*heads[one.id], *one.text.split()] for one in chunks}
    mean = sum(map(len, texts.values())) / len(texts)
    scores = dict.fromkeys(texts, 0.0)
    for word in set(query.split()):
        having = sum(word in text for text in texts.values())
        idf = max(math.log((len(texts) - having + 0.5) / (having + 0.5)), 1e-6)
        for id, text in texts.items():
            count = text.count(word) + heads[id].count(word)
            length = 1.2 * (1 - 0.75 + 0.75 * len(text) / mean)
            scores[id] += idf * count * 2.2 / (count + length)
    return {id: score for id, score in scores.items() if score > 0}


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_bm25(seed: int) -> None:
    chunks = some_chunks(seed, 60)
    query = " ".join(random.Random(seed).sample(WORDS, 3))
    found = {hit.chunk.id: hit.score for hit in indexed(*chunks).search(query, 60, None)}
    assert found == pytest.approx(bm25(query, chunks))


@pytest.mark.parametrize("seed", range(3))
def test_the_best_k_of_what_one_may_see_are_found(seed: int) -> None:
    chunks = some_chunks(seed, 60)
    by_id = {one.id: one for one in chunks}
    index = indexed(*chunks)
    for asker in ((), ("hr",), ("board", "hr"), ("nobody",)):
        expected = [
            score
            for id, score in bm25("oven salt", chunks).items()
            if not by_id[id].tags or by_id[id].tags & set(asker)
        ]
        hits = index.search("oven salt", 5, asker)
        assert [hit.score for hit in hits] == pytest.approx(sorted(expected)[::-1][:5])
        assert all(not hit.chunk.tags or hit.chunk.tags & set(asker) for hit in hits)


def by_fts5(index: SqliteIndex, query: str) -> list[tuple[str, float]]:
    """Ids and scores by FTS5's own bm25; of equal scores the row that was added first."""
    words, _ = index._words_of(query)
    return index._db.execute(
        "SELECT id, -bm25(words, 2.0, 1.0, 1.0) FROM words JOIN chunks ON row = words.rowid "
        "WHERE words MATCH ? ORDER BY 2 DESC, row",
        [" OR ".join(f'"{word}"' for word in words)],
    ).fetchall()


def assert_found_as_by_fts5(index: SqliteIndex, seed: int) -> None:
    draw = random.Random(seed)
    tags = {one.id: one.tags for one in index.chunks()}
    for asker in (None, {"nobody"}, {"hr"}, {"board", "hr"}):
        query = " ".join(draw.sample(WORDS, draw.randint(1, 4)))
        every = by_fts5(index, query)
        seen = [(i, s) for i, s in every if asker is None or not tags[i] or tags[i] & asker]
        for k in (1, 7, 50):
            ids, scores = zip(*sorted(seen[:k], key=lambda one: (-one[1], one[0])), strict=True)
            found = index.search(query, k, asker)
            assert [hit.chunk.id for hit in found] == list(ids)
            assert [hit.score for hit in found] == list(scores)  # to the last bit


@pytest.mark.parametrize("seed", range(3))
def test_what_is_found_is_that_of_fts5_whatever_changes(seed: int, tmp_path: Path) -> None:
    chunks = some_chunks(seed, 300)  # many of them are alike, so that their scores are equal
    index = indexed(*chunks[:200])
    assert_found_as_by_fts5(index, seed)
    index.add(chunks[150:])
    assert_found_as_by_fts5(index, seed)
    index.delete([one.id for place, one in enumerate(chunks) if place % 4 == 0 or place > 290])
    assert_found_as_by_fts5(index, seed)
    index.add(chunks[280:])
    assert_found_as_by_fts5(index, seed)
    index.save(tmp_path / "index")
    loaded = SqliteIndex.load(tmp_path / "index")
    assert_found_as_by_fts5(loaded, seed)
    loaded.delete([one.id for one in chunks[:50]])
    assert_found_as_by_fts5(loaded, seed)


def test_long_chunks_are_found_as_by_fts5() -> None:
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=count)) for count in (1, 127, 128, 300, 16_384, 20_000)]
    assert_found_as_by_fts5(indexed(*(chunk(one) for one in texts)), 0)


def test_what_is_kept_of_frequent_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("customize.retrieval.sqlite_index._KEPT", 0.5)
    index = indexed(*some_chunks(0, 200))
    for _ in range(2):
        assert_found_as_by_fts5(index, 0)
    assert 0 < sum(len(places) for places, _ in index._parts.values()) <= 100


def test_nothing_is_kept_of_words_that_no_chunk_has() -> None:
    index = indexed(chunk("oven"))
    for number in range(20):
        index.search(f"oven zeppelin{number}", 1)
    assert index._num_having == {"oven": 1}


def test_what_is_being_added_can_be_searched() -> None:
    index, chunks = SqliteIndex(), some_chunks(0, 2100)

    def looking() -> Iterator[Chunk]:
        for number, one in enumerate(chunks):
            yield one
            if number in (1000, 2000):
                index.search(WORDS[number // 1000], 3, None)

    index.add(looking())
    assert_found_as_by_fts5(index, 0)


def test_the_headings_words_are_found_too() -> None:
    index = indexed(Chunk("a.md", "From eleven to eight.", (9, 30), ("Shop", "Opening hours")))
    [hit] = index.search("When are your opening hours?", 3)
    assert hit.chunk.heading == ("Shop", "Opening hours")


@pytest.mark.parametrize(
    "query",
    [
        *(
            "oven AND",
            'oven"',
            "oven*",
            "NEAR(oven salt)",
            "heading:oven",
            "^oven",
            "-oven",
            "'oven'",
        ),
        *(
            "oven OR OR",
            "(oven",
            "{text}: oven",
            "oven + salt",
            "oven\0",
            'oven" OR "salt',
            "oven;--",
        ),
    ],
)
def test_a_query_is_no_syntax(query: str) -> None:
    index = indexed(chunk("The oven is hot."), chunk("and near or not", "b.md"))
    assert index.search(query, 5)[0].chunk.document == "a.md"


def test_any_text_can_be_asked() -> None:
    index = indexed(*some_chunks(0, 20))
    draw = random.Random(0)
    for _ in range(300):
        query = "".join(chr(draw.choice([draw.randrange(1, 128), draw.randrange(1, 0xD7FF)]))
                        for _ in range(draw.randint(0, 30)))  # fmt: skip
        assert len(index.search(query, 3, None)) <= 3


def test_a_question_may_hold_half_a_character() -> None:
    index = indexed(chunk("the doors of the cafe"))
    assert index.search("caf\udce9 doors", 3) == index.search("doors", 3)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Das Café öffnet um neun.", "cafe OFFNET"),
        ("Le garçon déjeune.", "garcon dejeune"),
        ("Kraków, Łódź and Škoda", "krakow"),
        ("Οι ώρες λειτουργίας", "ΩΡΕΣ"),
        ("Ёлка стоит во дворе", "елка"),
        ("Die Straße ist gesperrt.", "STRASSE"),
        ("यह हिन्दी है", "हिन्दी"),
        ("使用Docker部署", "Docker"),
        ("Docker를 설치", "docker"),
        ("ရန်ကုန်မြို့သည်", "ရန်ကုန်"),
        ("Our \ufb01nal o\ufb00er stands", "final offer"),
        ("我喜欢北京的天气。", "北京"),
        ("東京タワーは高いです", "東京"),
        ("ร้านเปิดวันจันทร์", "เปิด"),
        ("우리 학교에서 점심은 열두 시에 먹습니다.", "학교 점심"),
        ("도서관은 아침 아홉 시에 문을 엽니다.", "도서관 언제 열어요?"),
        (unicodedata.normalize("NFD", "도서관은 아침에 엽니다."), "도서관"),
        ("𠮷野さんの店です", "𠮷野"),
        ("佐々木さんの店です", "佐々木"),
        ("私は東京に住む", "京"),
        ("그 책을 반납하세요.", "책 어디"),
        ("call getUserNameById() first", "getUserName"),
        ("set max_tokens to 64", "max_tokens"),
        ("set max_new_tokens to 64", "new_tokens"),
        ("raise customize.DataError here", "customize.DataError"),
    ],
)
def test_diacritics_scripts_without_spaces_and_code_are_found(text: str, query: str) -> None:
    others = [chunk(f"something else {number}", "b.md", number) for number in range(5)]
    [hit, *_] = indexed(chunk(text), *others).search(query, 3)
    assert hit.chunk.text == text


@pytest.mark.parametrize("seed", range(4))
def test_after_deleting_it_answers_as_one_made_anew(seed: int, tmp_path: Path) -> None:
    chunks = [*some_chunks(seed, 80), chunk("我喜欢北京 getUserName café ώρα ß", "z.md")]
    gone = [one for place, one in enumerate(chunks) if place % 3 == 0]
    kept = [one for one in chunks if one not in gone]
    index, anew = indexed(*chunks), indexed(*kept)
    index.delete([one.id for one in gone] + ["nobody's"])
    index.check()
    assert index.fingerprint == anew.fingerprint
    for query in [*WORDS, "oven salt river", "北京", "getUserName", "cafe"]:
        same = [{h.chunk.id: h.score for h in i.search(query, 99, None)} for i in (index, anew)]
        assert same[0] == pytest.approx(same[1])
    for name, one in (("index", index), ("anew", anew)):
        one.save(tmp_path / name)
    assert vocabulary(tmp_path / "index") == vocabulary(tmp_path / "anew")


def vocabulary(folder: Path) -> list[tuple[object, ...]]:
    db = sqlite3.connect(folder / FILE)
    db.execute("CREATE VIRTUAL TABLE temp.all_words USING fts5vocab('main', 'words', 'col')")
    return db.execute("SELECT * FROM all_words ORDER BY term, col").fetchall()


def test_what_was_deleted_is_not_in_the_file(tmp_path: Path) -> None:
    secret, kept = chunk("the word is xylograph"), chunk("the word is open", "b.md")
    index = indexed(secret, kept)
    index.save(tmp_path / "before")
    index = SqliteIndex.load(tmp_path / "before")
    index.delete([secret.id])
    index.save(tmp_path / "after")
    assert b"xylograph" in (tmp_path / "before" / FILE).read_bytes()
    assert b"xylograph" not in (tmp_path / "after" / FILE).read_bytes()


def test_what_is_loaded_is_what_was_saved(tmp_path: Path) -> None:
    index = indexed(*some_chunks(0, 2500))
    index.save(tmp_path / "index")
    loaded = SqliteIndex.load(tmp_path / "index")
    loaded.check()
    assert (len(loaded), loaded.fingerprint) == (len(index), index.fingerprint)
    assert loaded.search("oven coal", 9, None) == index.search("oven coal", 9, None)


def test_changes_are_not_in_the_folder_until_they_are_saved(tmp_path: Path) -> None:
    indexed(chunk("oven")).save(tmp_path / "index")
    before = (tmp_path / "index" / FILE).read_bytes()
    loaded = SqliteIndex.load(tmp_path / "index")
    loaded.add([chunk("a second oven", "b.md")])
    assert len(loaded.search("oven", 5)) == 2
    assert (tmp_path / "index" / FILE).read_bytes() == before


def test_chunks_come_by_document_and_place() -> None:
    chunks = some_chunks(3, 2300)
    assert list(indexed(*chunks).chunks()) == sorted(
        chunks, key=lambda one: (one.document, one.span)
    )


def test_chunks_are_got_by_id_in_the_order_asked() -> None:
    chunks = some_chunks(3, 9)
    wanted = [chunks[5], chunks[2], chunks[7]]
    assert indexed(*chunks).get([wanted[0].id, "nobody's", *(c.id for c in wanted[1:])]) == wanted


def test_one_chunk_twice_is_one() -> None:
    index = indexed(chunk("oven"), chunk("oven"))
    index.add([chunk("oven")])
    assert len(index) == 1


def test_chunks_that_fail_midway_leave_nothing() -> None:
    def failing() -> Iterator[Chunk]:
        yield from some_chunks(0, 1500)
        raise ZeroDivisionError

    index = indexed(chunk("oven"))
    before = index.fingerprint
    with pytest.raises(ZeroDivisionError):
        index.add(failing())
    assert index.fingerprint == before
    assert len(index.search("oven salt", 9, None)) == 1
    index.check()


def test_the_fingerprint_is_that_of_the_chunks_alone(tmp_path: Path) -> None:
    chunks = some_chunks(1, 30)
    assert indexed(*chunks).fingerprint == indexed(*chunks[::-1]).fingerprint
    other = chunk(chunks[0].text, chunks[0].document, chunks[0].span[0], "secret")
    assert indexed(*chunks).fingerprint != indexed(other, *chunks[1:]).fingerprint


def test_common_words_are_left_out_of_a_query_in_a_large_index() -> None:
    many = [chunk(f"common frequent word{number}", "a.md", number) for number in range(1200)]
    index = indexed(*many, chunk("common rare treasure", "b.md"))
    hits = index.search("common rare treasure", 5)
    assert [hit.chunk.document for hit in hits] == ["b.md"]  # else "common" would find five
    assert hits[0].score == pytest.approx(
        bm25("rare treasure", list(index.chunks()))[hits[0].chunk.id]
    )


def test_a_query_of_common_words_alone_finds_something() -> None:
    index = indexed(*(chunk(f"common frequent word{n}", "a.md", n) for n in range(1200)))
    assert len(index.search("common frequent", 5)) == 5


def test_words_that_hold_a_question_together_find_what_comes_last() -> None:
    asking = chunk("how do i ask how to do it", "asking.md")
    index = indexed(asking, chunk("serve a model", "serve.md"), *some_chunks(1, 20))
    hits = index.search("How do I serve a model?", 5)
    assert [hit.chunk.document for hit in hits] == ["serve.md", "asking.md"]
    scores = bm25("serve model", list(index.chunks()))
    assert [hit.score for hit in hits] == [pytest.approx(scores[hits[0].chunk.id]), 0.0]
    assert index.search("how do I", 1)[0].chunk == asking


def test_in_a_small_index_no_word_is_left_out_for_being_common() -> None:
    index = indexed(*(chunk(f"common word{number}", "a.md", number) for number in range(50)))
    assert len(index.search("common word7 word8", 60)) == 50


def test_an_empty_index_and_one_smaller_than_k_answer() -> None:
    assert SqliteIndex().search("oven", 3) == []
    assert len(indexed(chunk("oven")).search("oven", 99)) == 1


@pytest.mark.parametrize("query", ["", "   ", "?!", "zeppelin"])
def test_a_question_without_a_hit_finds_nothing(query: str) -> None:
    assert indexed(chunk("oven")).search(query, 3) == []


def test_k_of_none_is_refused() -> None:
    with pytest.raises(OptionError, match=re.escape("k must be >= 1 (got 0)")):
        SqliteIndex().search("oven", 0)


def test_a_long_text_can_be_asked() -> None:
    index = indexed(chunk("oven dough"), *(chunk(f"filler {n}", "b.md", n) for n in range(99)))
    query = " ".join(f"filler {number}" for number in range(20_000)) + " oven"
    assert index.search(query, 200)


def test_threads_may_search_at_once(tmp_path: Path) -> None:
    indexed(*some_chunks(0, 300)).save(tmp_path / "index")
    index = SqliteIndex.load(tmp_path / "index")
    alone = [index.search(word, 5, None) for word in WORDS]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda word: index.search(word, 5, None), WORDS * 20))
    assert together == alone * 20


def test_it_is_what_the_name_sqlite_stands_for() -> None:
    from customize.plugins import load

    assert load("index", "sqlite") is load("index", "customize:sqlite") is SqliteIndex
    assert issubclass(SqliteIndex, customize.Index)
