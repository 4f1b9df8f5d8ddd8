"""Which data of a request are computed together: what they share is computed once."""

from __future__ import annotations

import numpy as np
import pytest

from customize_tinker.losses import columns_for, lay_out
from customize_tinker.requests import Datum
from customize_tinker.tensors import Tensor

SYSTEM, ONE, OTHER = list(range(20)), list(range(100, 160)), list(range(200, 260))


def groups(*sequences: list[int]) -> list[int]:
    """Of the batch, a number for each datum."""
    data = [
        Datum(np.array(s[:-1], np.int32), {"target_tokens": Tensor(np.array(s[1:]), (len(s) - 1,))})
        for s in sequences
    ]
    batch = lay_out(data, columns_for("cross_entropy"), 10_000).batch
    return [int(group) for group in batch.groups]


def test_completions_of_one_prompt_are_a_group() -> None:
    completions = [[*SYSTEM, *prompt, n, 7, 7] for prompt in (ONE, OTHER) for n in range(3)]
    assert groups(*completions) == [0, 0, 0, 1, 1, 1]


def test_a_token_drawn_alike_parts_no_group() -> None:
    assert groups([*ONE, 1, 2, 3], [*ONE, 1, 2, 4], [*ONE, 5, 6]) == [0, 0, 0]


def test_rows_that_share_a_system_message_share_it() -> None:
    assert groups([*SYSTEM, *ONE], [*SYSTEM, *OTHER], [*SYSTEM, 9, 9]) == [0, 0, 0]


@pytest.mark.parametrize("shared", [0, 1, 15])
def test_a_short_beginning_is_not_worth_sharing(shared: int) -> None:
    assert groups([*SYSTEM[:shared], *ONE], [*SYSTEM[:shared], *OTHER]) == [0, 1]
