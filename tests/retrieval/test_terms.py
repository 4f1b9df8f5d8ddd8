"""Terms of texts and questions, against what the default index has of them."""

from __future__ import annotations

import random

import pytest

from customize import Chunk, index_terms, query_terms
from customize.retrieval.grams import grams
from customize.retrieval.sqlite_index import SqliteIndex


def of_the_default_index(text: str) -> list[str]:
    """What it finds a text by, in its order: words, and then grams."""
    index = SqliteIndex()
    index.add([Chunk("a", text, (0, len(text)))])
    select = "SELECT term FROM all_places ORDER BY col = 'grams', offset"
    return [term for (term,) in index._db.execute(select)]


@pytest.mark.parametrize(
    "text",
    [
        "The Café of Lyon, opening at 7:40 am!",
        "CAFE\u0301 naïve — Ångström",
        "a-b c/d (e) f@g 12.50",
        "Привет, Мир",
        "Die Straße, o\ufb00en ab 9½ Uhr, Ωράριο",
        "हिन्दी और हिन्दू",
        "使用Docker部署",
        "Docker를 3번 설치",
        "",
        "?!",
    ],
)
def test_terms_are_those_of_the_default_index(text: str) -> None:
    assert index_terms(text) == of_the_default_index(text)


def test_words_of_scripts_with_vowel_signs_are_whole() -> None:
    one, other = query_terms("हिन्दी"), query_terms("हिन्दू")
    assert (len(one), len(other)) == (1, 1)
    assert one != other


@pytest.mark.parametrize("code", range(128))
def test_ascii_alone_and_beside_other_letters_is_the_same_words(code: int) -> None:
    text = f"Ab{chr(code)}1C"
    assert sorted(index_terms(f"{text} é")) == sorted([*index_terms(text), "e"])


def test_a_script_without_spaces_is_cut_into_pairs() -> None:
    assert index_terms("我喜欢北京") == ["我喜", "喜欢", "欢北", "北京", *"我喜欢北京"]
    assert query_terms("我喜欢北京") == ["我喜", "喜欢", "欢北", "北京"]
    assert set(query_terms("北京")) <= set(index_terms("我喜欢北京的天气"))


def test_names_in_code_are_found_by_their_parts() -> None:
    assert set(query_terms("max_tokens")) & set(index_terms("model.maxTokens"))


@pytest.mark.parametrize("seed", range(3))
def test_no_name_is_passed_over_without_looking(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(seed)
    texts = ["".join(draw.choices("abzAZ._: é我\ud800?0", k=12)) for _ in range(2000)]
    found = [list(grams(text)) for text in texts]
    monkeypatch.setattr("customize.retrieval.grams._may_name_code", lambda text: True)
    assert found == [list(grams(text)) for text in texts]


def test_a_question_is_its_telling_words_once() -> None:
    assert query_terms("What is the price, the PRICE of a pizza?") == ["price", "pizza"]
    assert query_terms("What is it?") == ["what", "is", "it"]


def test_no_term_has_a_space_in_it() -> None:
    text = "a\tb\u00a0c\u2003d 我 喜欢 getUserName"
    assert not [term for term in index_terms(text) if term.split() != [term]]


def test_korean_is_found_by_pairs_since_its_words_grow() -> None:
    assert query_terms("학교 점심") == ["학교", "점심"]
    assert {"학교", "점심"} <= set(index_terms("우리 학교에서 점심은 맛있다"))
    assert set(query_terms("책 어디")) & set(index_terms("그 책을 반납하세요"))


def test_one_character_is_a_term_wherever_it_stands() -> None:
    assert query_terms("京") == ["京"]
    assert all("京" in index_terms(text) for text in ("東京", "京都", "在东京的", "京"))
