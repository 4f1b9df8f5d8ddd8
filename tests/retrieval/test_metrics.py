"""Retrieval metrics, against numbers by hand."""

from __future__ import annotations

import pytest

from customize import hit_at_k, ndcg_at_k, reciprocal_rank


@pytest.mark.parametrize(("k", "expected"), [(1, 0), (2, 0), (3, 1), (9, 1)])
def test_a_hit_is_among_the_first_k(k: int, expected: float) -> None:
    assert hit_at_k(["a", "b", "c", "d"], {"c", "d"}, k) == expected


@pytest.mark.parametrize(("wanted", "expected"), [("a", 1), ("c", 1 / 3), ("cb", 1 / 2), ("x", 0)])
def test_the_first_wanted_counts(wanted: str, expected: float) -> None:
    assert reciprocal_rank(["a", "b", "c"], set(wanted)) == expected


def test_gains_are_discounted_by_rank() -> None:
    # 3 + 2 / log2(3) + 0 + 1 / log2(5) = 4.69256, of 3 + 2 / log2(3) + 1 / log2(4) = 4.76186.
    gains = {"a": 3.0, "b": 2.0, "c": 1.0}
    assert ndcg_at_k(["a", "b", "x", "c"], gains, 4) == pytest.approx(0.985442, abs=1e-6)


def test_the_best_order_is_one_and_nothing_gained_is_none() -> None:
    assert ndcg_at_k(["a", "b", "x"], {"b": 1.0, "a": 2.0}, 3) == 1
    assert ndcg_at_k(["a"], {}, 3) == 0
    assert ndcg_at_k([], {"a": 1.0}, 3) == 0


def test_what_there_could_be_is_cut_at_k_too() -> None:
    # Two wanted and room for one: 1 / 1.
    assert ndcg_at_k(["a", "b"], {"a": 1.0, "b": 1.0}, 1) == 1
