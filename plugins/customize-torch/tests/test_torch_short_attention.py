"""Attention as plain products beside torch's fused kernel."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from customize_torch import attention
from customize_torch.attention import Segment, Segments
from customize_torch.short_attention import FEW_KEYS, attend_short

SCALE = 0.3


def inputs(num_queries: int, num_keys: int) -> list[Tensor]:
    torch.manual_seed(0)
    shapes = ((1, 6, num_queries, 8), (1, 2, num_keys, 8), (1, 2, num_keys, 8))
    return [torch.randn(shape, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize(("num_queries", "num_keys", "window"), [(7, 7, 0), (5, 12, 0), (9, 9, 4)])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)], ids=str
)
def test_outputs_and_gradients_are_those_of_the_fused_kernel_in_double(
    num_queries: int, num_keys: int, window: int, dtype: torch.dtype, tolerance: float
) -> None:
    mask = attention._mask(num_queries, num_keys, window, torch.device("cpu"))
    given = inputs(num_queries, num_keys)
    grad = torch.randn(given[0].shape, dtype=torch.float64)
    q, k, v = exact = [t.clone().requires_grad_() for t in given]
    wanted = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=SCALE, enable_gqa=True)
    wanted.backward(grad)
    q, k, v = leaves = [t.to(dtype).requires_grad_() for t in given]
    found = attend_short(q, k, v, mask, SCALE)
    found.backward(grad.to(dtype))
    torch.testing.assert_close(found.double(), wanted, atol=tolerance, rtol=tolerance)
    for leaf, other in zip(leaves, exact, strict=True):
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad.double(), other.grad, atol=tolerance, rtol=tolerance)


def test_short_and_long_segments_of_one_row_follow_the_same_plan() -> None:
    """A row of bf16 with segments on both sides of the limit, against the row in float32."""
    length = 2 * FEW_KEYS
    cuts = [Segment(0, 40), Segment(40, 100, 0, 40), Segment(100, length)]
    q, k, v = (t.float() for t in inputs(length, length))
    wanted = Segments(cuts).attend(0, q, k, v, SCALE, window=0)
    found = Segments(cuts).attend(0, q.bfloat16(), k.bfloat16(), v.bfloat16(), SCALE, window=0)
    torch.testing.assert_close(found.float(), wanted, atol=3e-2, rtol=3e-2)
