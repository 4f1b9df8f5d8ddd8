"""MinHash against a brute-force comparison of sets of pairs of words."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest

from customize.data.similarity import (
    THRESHOLD,
    Clusters,
    NearIndex,
    jaccard,
    near_duplicates,
    shingles,
    signature,
)


def brute_force(left: str, right: str) -> float:
    sets = []
    for text in (left, right):
        words = ["<start>", *text.lower().split(), "<end>"]
        sets.append({(words[i], words[i + 1]) for i in range(len(words) - 1)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def texts_with_changes(seed: int, num_texts: int, num_copies: int) -> list[str]:
    rng = random.Random(seed)
    vocabulary = [f"w{i}" for i in range(400)]
    made = []
    for _ in range(num_texts):
        words = rng.choices(vocabulary, k=rng.randrange(3, 120))
        made.append(" ".join(words))
        for _ in range(num_copies):
            copy = list(words)
            for _ in range(rng.randrange(0, 4)):
                copy[rng.randrange(len(copy))] = rng.choice(vocabulary)
            made.append(" ".join(copy))
    rng.shuffle(made)
    return made


def found(texts: list[str]) -> tuple[Clusters, list[tuple[int, int, float]]]:
    clusters = Clusters(len(texts))
    pairs = near_duplicates(enumerate(texts), texts.__getitem__, clusters)
    return clusters, [(pair.first, pair.second, pair.similarity) for pair in pairs]


def test_jaccard_of_hashed_shingles_is_that_of_the_sets() -> None:
    texts = texts_with_changes(0, 12, 2)
    for left, right in itertools.combinations(texts, 2):
        assert jaccard(shingles(left), shingles(right)) == brute_force(left, right)


def test_signatures_estimate_the_similarity_without_bias() -> None:
    texts = texts_with_changes(1, 40, 4)
    errors = []
    for left, right in itertools.combinations(texts, 2):
        similarity = brute_force(left, right)
        if 0.2 < similarity < 0.98:
            agree = np.mean(signature(shingles(left)) == signature(shingles(right)))
            errors.append(float(agree) - similarity)
    assert len(errors) > 20
    assert abs(np.mean(errors)) < 0.02
    assert max(map(abs, errors)) < 5 * 0.5 / np.sqrt(120)  # five standard errors


def test_clusters_are_those_of_brute_force() -> None:
    texts = texts_with_changes(2, 60, 3)
    clusters, pairs = found(texts)
    expected = Clusters(len(texts))
    for left, right in itertools.combinations(range(len(texts)), 2):
        if brute_force(texts[left], texts[right]) >= THRESHOLD:
            expected.join(left, right)
    assert clusters.all() == expected.all()
    assert any(len(cluster) > 2 for cluster in clusters.all())
    for left, right, similarity in pairs:
        assert similarity == brute_force(texts[left], texts[right])


def with_one_word_changed(text: str, rng: random.Random) -> str:
    words = text.split()
    words[rng.randrange(len(words))] = f"changed{rng.randrange(10**6)}"
    return " ".join(words)


@pytest.mark.parametrize("num_words", [17, 20, 30, 42, 45, 60])
def test_one_word_changed_in_a_text_of_chat_length_is_a_near_duplicate(num_words: int) -> None:
    rng = random.Random(num_words)
    vocabulary = [f"w{i}" for i in range(2000)]
    texts = []
    for _ in range(60):
        text = " ".join(rng.sample(vocabulary, num_words))
        texts += [text, *(with_one_word_changed(text, rng) for _ in range(3))]
        assert all(brute_force(text, copy) >= THRESHOLD for copy in texts[-3:])
    clusters, _ = found(texts)
    assert clusters.all() == [list(range(start, start + 4)) for start in range(0, 240, 4)]
    near = NearIndex(texts[::4])
    for start in range(0, 240, 4):
        assert all(near.like(texts[start + n]) == [texts[start]] for n in range(4))


def test_short_questions_that_differ_in_their_point_are_no_near_duplicates() -> None:
    asked = ["What is the price of a large Margherita?", "What is the price of a large Diavola?"]
    assert found(asked)[1] == []


def test_texts_that_share_an_opening_are_none_and_those_among_them_that_are_are_found() -> None:
    rng = random.Random(5)
    opening = "you are the helper of a small shop and a customer who is in a hurry writes this to"
    vocabulary = [f"w{i}" for i in range(2000)]
    apart = [f"{opening} {' '.join(rng.sample(vocabulary, 17))}" for _ in range(600)]
    copies = [with_one_word_changed(text, rng) for text in apart[::20]]
    clusters, pairs = found([*apart, *copies])
    assert {pair[:2] for pair in pairs} == {(20 * n, 600 + n) for n in range(30)}
    assert len(clusters.all()) == 600


def test_pairs_at_the_threshold_meet() -> None:
    """One word in 17: 0.8, the least that counts; 0.99993 of them are to meet."""
    rng = random.Random(6)
    vocabulary = [f"w{i}" for i in range(5000)]
    met = 0
    for _ in range(300):
        text = " ".join(rng.sample(vocabulary, 17))
        copy = with_one_word_changed(text, rng)
        assert brute_force(text, copy) == THRESHOLD
        met += NearIndex([text]).like(copy) == [text]
    assert met >= 299


def test_case_punctuation_and_unicode_form_make_no_difference() -> None:
    clusters, _ = found(["Caf\u00e9, open NOW!", "cafe\u0301 open now", "closed"])
    assert clusters.all() == [[0, 1], [2]]


def test_texts_without_spaces_are_compared_by_character() -> None:
    text = "".join(chr(0x4E00 + i * 7 % 2000) for i in range(60))
    clusters, _ = found([text, text[:-1] + "\u4e8c", text[::-1]])
    assert clusters.all() == [[0, 1], [2]]


def test_empty_texts_are_alike_to_nothing() -> None:
    assert found(["", "!", "a"])[1] == []


def test_many_rows_of_one_template_take_no_quadratic_time(monkeypatch: pytest.MonkeyPatch) -> None:
    common = " ".join(f"word{i}" for i in range(100))
    texts = [f"{common} {i}" for i in range(4000)]
    compared = 0

    def counted(left: Any, right: Any) -> float:
        nonlocal compared
        compared += 1
        return jaccard(left, right)

    monkeypatch.setattr("customize.data.similarity.jaccard", counted)
    clusters, _ = found(texts)
    assert len(clusters.all()) == 1
    assert compared < 3 * len(texts)
