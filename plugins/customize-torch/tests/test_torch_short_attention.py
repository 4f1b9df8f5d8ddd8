"""Attention as plain products beside torch's fused kernel."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from customize_torch import attention
from customize_torch.attention import Segments
from customize_torch.segments import Segment
from customize_torch.short_attention import FEW_KEYS, attend_rows, attend_short

SCALE = 0.3


def inputs(num_tokens: int) -> list[Tensor]:
    torch.manual_seed(0)
    shapes = ((1, heads, num_tokens, 8) for heads in (6, 2, 2))
    return [torch.randn(shape, dtype=torch.float64) for shape in shapes]


def fused(q: Tensor, k: Tensor, v: Tensor, cuts: list[Segment], masks: list[Tensor]) -> Tensor:
    parts = []
    for s, mask in zip(cuts, masks, strict=True):
        seen = [*range(s.prefix_start, s.prefix_end), *range(s.start, s.end)]
        given = q[:, :, s.start : s.end], k[:, :, seen], v[:, :, seen]
        parts.append(
            F.scaled_dot_product_attention(*given, attn_mask=mask, scale=SCALE, enable_gqa=True)
        )
    return torch.cat(parts, 2)


@pytest.mark.parametrize(
    ("cuts", "window"),
    [
        ([Segment(0, 7)], 0),
        ([Segment(0, 9)], 4),
        ([Segment(0, 7), Segment(7, 12, 0, 7), Segment(12, 15, 0, 7), Segment(15, 20)], 0),
    ],
    ids=["one", "window", "prefix shared"],
)
@pytest.mark.parametrize("multiple", [1, 8], ids=["exact", "rounded up"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)], ids=str
)
def test_outputs_and_gradients_are_those_of_the_fused_kernel_in_double(
    cuts: list[Segment], window: int, dtype: torch.dtype, tolerance: float, multiple: int
) -> None:
    masks, wide_masks = (
        [attention._mask(s.end - s.start, s.num_seen, window, torch.device("cpu")) for s in some]
        for some in (cuts, [s.widened(multiple, cuts[-1].end) for s in cuts])
    )
    given = inputs(cuts[-1].end)
    grad = torch.randn(given[0].shape, dtype=torch.float64)
    exact = [t.clone().requires_grad_() for t in given]
    q, k, v = exact
    wanted = fused(q, k, v, cuts, masks)
    wanted.backward(grad)
    q, k, v = leaves = [t.to(dtype).requires_grad_() for t in given]
    found = attend_short(q, k, v, cuts, wide_masks, SCALE)
    found.backward(grad.to(dtype))
    torch.testing.assert_close(found.double(), wanted, atol=tolerance, rtol=tolerance)
    for leaf, other in zip(leaves, exact, strict=True):
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad.double(), other.grad, atol=tolerance, rtol=tolerance)


def test_a_segment_is_widened_within_its_row_alone() -> None:
    assert Segment(3, 10, 0, 3).widened(8, 20) == Segment(3, 11, 0, 3)
    assert Segment(3, 11).widened(8, 20) == Segment(3, 11)
    assert Segment(12, 18).widened(8, 20) == Segment(12, 20)
    assert Segment(13, 18).widened(8, 20) == Segment(13, 18)


def test_short_and_long_segments_of_one_row_follow_the_same_plan() -> None:
    """A row of bf16 with segments on both sides of the limit, against the row in float32."""
    length = 2 * FEW_KEYS
    cuts = [Segment(0, 40), Segment(40, 100, 0, 40), Segment(100, length)]
    q, k, v = (t.float() for t in inputs(length))
    wanted = Segments(cuts).attend(0, q, k, v, SCALE, window=0)
    found = Segments(cuts).attend(0, q.bfloat16(), k.bfloat16(), v.bfloat16(), SCALE, window=0)
    torch.testing.assert_close(found.float(), wanted, atol=3e-2, rtol=3e-2)


def test_rows_with_one_new_token_see_what_their_mask_lets_them() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(3, 2, n, 8, dtype=torch.float64) for n in (3, 10, 10))
    hidden = torch.arange(10)[None] > torch.tensor([[4], [9], [0]])
    mask = torch.zeros(3, 10).masked_fill_(hidden, -torch.inf)[:, None, None]
    wanted = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.double(), scale=SCALE)
    short = q.bfloat16(), k.bfloat16(), v.bfloat16()
    found = attend_rows(*short, mask, SCALE)
    torch.testing.assert_close(found.double(), wanted, atol=3e-2, rtol=3e-2)
    # To the bit what training computes: scores in 16 bits, scaled in 32.
    scores = (short[0] @ short[1].mT).float() * SCALE + mask
    assert torch.equal(found, scores.softmax(-1).bfloat16() @ short[2])
