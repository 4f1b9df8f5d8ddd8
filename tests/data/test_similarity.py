"""MinHash against a brute-force comparison of sets of word tuples."""

from __future__ import annotations

import itertools
import random
import time

import numpy as np

from customize.data.similarity import (
    THRESHOLD,
    Clusters,
    jaccard,
    near_duplicates,
    shingles,
    signature,
)


def brute_force(left: str, right: str) -> float:
    sets = []
    for text in (left, right):
        words = text.lower().split()
        size = min(5, len(words))
        sets.append({tuple(words[i : i + size]) for i in range(len(words) - size + 1)})
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


def test_case_punctuation_and_unicode_form_make_no_difference() -> None:
    clusters, _ = found(["Caf\u00e9, open NOW!", "cafe\u0301 open now", "closed"])
    assert clusters.all() == [[0, 1], [2]]


def test_texts_without_spaces_are_compared_by_character() -> None:
    text = "".join(chr(0x4E00 + i * 7 % 2000) for i in range(60))
    clusters, _ = found([text, text[:-1] + "\u4e8c", text[::-1]])
    assert clusters.all() == [[0, 1], [2]]


def test_empty_texts_are_alike_to_nothing() -> None:
    assert found(["", "!", "a"])[1] == []


def test_many_rows_of_one_template_take_no_quadratic_time() -> None:
    common = " ".join(f"word{i}" for i in range(100))
    texts = [f"{common} {i}" for i in range(4000)]
    start = time.process_time()
    clusters, _ = found(texts)
    assert time.process_time() - start < 10
    assert len(clusters.all()) == 1
