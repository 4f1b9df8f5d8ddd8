"""Batches: cutting and joining changes nothing."""

from __future__ import annotations

import pytest

from customize import Batch, DataError


@pytest.fixture
def batch() -> Batch:
    return Batch.from_sequences(
        [
            ([5, 6, 7], {"weights": [0, 1, 1]}),
            ([8, 9], {"weights": [1, 1]}),
            ([1, 2, 3, 4], {"weights": [0, 0, 0, 2]}),
        ],
        sequence_columns={"rewards": [1, 2, 3]},
        groups=[0, 0, 1],
    )


def test_take_gives_these_sequences_in_this_order(batch: Batch) -> None:
    taken = batch.take([2, 0])
    assert taken.tokens.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert taken.offsets.tolist() == [0, 4, 7]
    assert taken.sequence_columns["rewards"].tolist() == [3, 1]
    assert taken.groups.tolist() == [1, 0]
    assert batch.tokens[batch.positions_of([2, 0])].tolist() == taken.tokens.tolist()


def test_a_first_token_is_never_scored(batch: Batch) -> None:
    assert batch.scored.tolist() == [0, 1, 1, 0, 1, 0, 0, 0, 1]


def test_sum_by_sequence_is_the_sum_of_each(batch: Batch) -> None:
    assert batch.sum_by_sequence(batch.tokens.astype(float)).tolist() == [18, 17, 10]


def test_a_column_of_another_length_is_named() -> None:
    with pytest.raises(DataError, match="'weights' has 1 entries for 2 tokens"):
        Batch.from_sequences([([1, 2], {"weights": [1]})])


def test_a_batch_without_weights_is_refused() -> None:
    with pytest.raises(DataError, match="needs the column 'weights'"):
        Batch.from_sequences([([1, 2], {"advantages": [1, 1]})])


def test_an_empty_sequence_is_refused() -> None:
    with pytest.raises(DataError, match="at least one token"):
        Batch.from_sequences([([], {"weights": []}), ([1], {"weights": [1]})])
