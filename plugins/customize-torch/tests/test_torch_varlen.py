"""Segments in one call of flash attention, as far as it can be held without a GPU: what the kernel
is told, beside each segment by itself, and that this torch takes what it is told.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from customize_torch import varlen_attention
from customize_torch.attention import Segments
from customize_torch.segments import Segment
from customize_torch.varlen_attention import VarLen

SCALE = 0.3
CUTS = [Segment(0, 7), Segment(7, 12, 0, 7), Segment(12, 15, 0, 7), Segment(15, 24)]


def inputs(cuts: list[Segment], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    made = torch.Generator().manual_seed(0)
    shapes = ((1, heads, cuts[-1].end, 8) for heads in (6, 2, 2))
    return [torch.randn(shape, generator=made, dtype=torch.float64).to(dtype) for shape in shapes]


def as_the_kernel_says(
    q: Tensor, k: Tensor, v: Tensor, bounds: Any, scale: float, window: int
) -> Tensor:
    """Flash attention over many segments: causal from the end of each one's keys."""
    queries, keys, longest_query, longest_keys = bounds
    assert (longest_query, longest_keys) == (queries.diff().max(), keys.diff().max())
    assert queries.dtype == keys.dtype == torch.int32
    out = torch.empty_like(q)
    for i in range(len(queries) - 1):
        own, seen = slice(queries[i], queries[i + 1]), slice(keys[i], keys[i + 1])
        last = torch.arange(own.stop - own.start)[:, None] + len(k[seen]) - len(q[own])
        key = torch.arange(len(k[seen]))
        mask = (key <= last) & (key > last - window if window else torch.tensor(True))
        q_HND, k_KMD, v_KMD = (x.transpose(0, 1) for x in (q[own], k[seen], v[seen]))
        made = F.scaled_dot_product_attention(
            q_HND, k_KMD, v_KMD, attn_mask=mask, scale=scale, enable_gqa=True
        )
        out[own] = made.transpose(0, 1)
    return out


@pytest.mark.parametrize(
    ("cuts", "window"),
    [(CUTS, 0), ([Segment(0, 9), Segment(9, 12)], 0), ([Segment(0, 9), Segment(9, 12)], 4)],
    ids=["prefix shared", "apart", "window"],
)
def test_one_call_sees_what_each_segment_sees_by_itself(
    cuts: list[Segment], window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(varlen_attention, "_Flash", SimpleNamespace(apply=as_the_kernel_says))
    q, k, v = inputs(cuts)
    found = VarLen(cuts, torch.device("cpu")).attend(q, k, v, SCALE, window)
    wanted = Segments(cuts).attend(0, q, k, v, SCALE, window)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("window", [0, 4])
def test_this_torch_takes_what_its_kernel_is_told(window: int) -> None:
    """On a device without memory, where torch computes shapes alone."""
    meta = torch.device("meta")
    q, k, v = (x.to(meta).requires_grad_() for x in inputs(CUTS, torch.bfloat16))
    out = VarLen(CUTS, meta).attend(q, k, v, SCALE, window)
    assert out.shape == q.shape
    out.backward(torch.empty_like(out))
    assert [x.grad.shape for x in (q, k, v) if x.grad is not None] == [q.shape, k.shape, v.shape]
