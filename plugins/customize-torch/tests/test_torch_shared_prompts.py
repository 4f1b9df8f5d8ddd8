"""Rows that go on from prompts that are there once, beside rows with a copy each."""

from __future__ import annotations

import pytest
import torch

from customize_torch.attention import Cache, Prefill
from customize_torch.shared_prompts import SharedPrompts, is_worth_sharing

KEY_HEADS, HEADS, DIM, SCALE, STEPS = 2, 6, 8, 0.3, 5
OFFSETS = [0, 7, 12, 23]  # prompts of 7, 5 and 11 tokens
BOUNDS = [(0, 7), (7, 12), (12, 23)]


def prefilled() -> Prefill:
    torch.manual_seed(0)
    plan = Prefill(OFFSETS)
    for layer in range(2):
        keys, values = torch.randn(2, KEY_HEADS, OFFSETS[-1], DIM, dtype=torch.float64)
        plan.kept[layer] = keys, values
    return plan


def both(owners: list[int]) -> tuple[Cache, Cache]:
    shared = SharedPrompts(prefilled(), BOUNDS, owners, STEPS)
    return shared, Cache.from_prefill(prefilled(), BOUNDS, owners, 11 + STEPS)


@pytest.mark.parametrize("window", [0, 3, 9])
@pytest.mark.parametrize(
    "owners",
    [[0] * 3, [0, 0, 1, 1, 2, 2], [1, 1, 1, 2, 0, 0], [0, 0, 1, 1, 0, 0]],
    ids=["one prompt", "as many rows each", "unlike numbers", "a prompt twice"],
)
def test_rows_attend_as_with_a_copy_of_the_prompt_each(owners: list[int], window: int) -> None:
    caches = both(owners)
    lengths = torch.tensor([BOUNDS[owner][1] - BOUNDS[owner][0] for owner in owners])
    for step in range(STEPS):
        if step == 2:  # the last row of all and the first of a prompt are at their end
            going = torch.tensor([row for row in range(len(owners) - 1) if row != 1])
            lengths = lengths[going]
            for cache in caches:
                cache.keep(going)
        longest = int(lengths.max()) + 1
        plans = [cache.decode(lengths, longest, None) for cache in caches]
        for layer in range(2):
            q = torch.randn(1, HEADS, len(lengths), DIM, dtype=torch.float64)
            k, v = torch.randn(2, 1, KEY_HEADS, len(lengths), DIM, dtype=torch.float64)
            found, wanted = (plan.attend(layer, q, k, v, SCALE, window) for plan in plans)
            torch.testing.assert_close(found, wanted)
        lengths = lengths + 1


def test_a_prompt_is_held_once() -> None:
    shared, apart = both([0] * 50 + [2] * 50)
    sizes = [
        sum(tensor.nbytes for both in cache.layers.values() for tensor in both)
        for cache in (shared, apart)
    ]
    assert sizes[0] < 0.4 * sizes[1]


def test_what_is_worth_sharing_has_several_rows_that_follow_one_another() -> None:
    here = torch.device("cpu"), torch.float32
    assert is_worth_sharing([0, 0, 0, 0, 1, 1, 1, 1], *here)
    assert not is_worth_sharing([0, 0, 1, 1, 2, 2], *here)
    assert not is_worth_sharing([0, 1, 0, 1], *here)
    assert not is_worth_sharing([0, 0, 0, 0], torch.device("cpu"), torch.bfloat16)
