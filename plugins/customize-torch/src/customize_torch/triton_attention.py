"""Attention of one new token for each row of a cache, in Triton: written and read in one pass.

Only what a row holds is read, where torch reads all the room that there is. Knows no model.

Shape legend: R rows, H query heads, K key heads, D head dimension, L cached tokens.
"""

# Arguments of kernels are triton's own: pointers and numbers that have no type in Python.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_KEYS = 64  # read together
_LEAST = 16  # of rows and columns that a device multiplies at once
_WIDENS = bool(triton.knobs.runtime.interpret)  # the interpreter multiplies no bfloat16


def attend_new(
    q_RHD: Tensor,
    k_RKD: Tensor,
    v_RKD: Tensor,
    keys_RKLD: Tensor,
    values_RKLD: Tensor,
    lengths_R: Tensor,
    scale: float,
    window: int,
) -> Tensor:
    """Outputs [R, H, D]; the new key and value are in the cache afterwards.

    lengths: what each row holds before. window: tokens seen, the new one among them; 0 is all.
    """
    rows, heads, dim = q_RHD.shape
    num_keys = k_RKD.shape[1]
    group = heads // num_keys
    new = [x if x.stride(-1) == 1 else x.contiguous() for x in (q_RHD, k_RKD, v_RKD)]
    out_RHD = torch.empty(rows, heads, dim, dtype=q_RHD.dtype, device=q_RHD.device)
    _attend_new[rows, num_keys](
        *(*new, keys_RKLD, values_RKLD, lengths_R, out_RHD, scale, window),
        *(stride for x in new for stride in x.stride()[:2]),
        *keys_RKLD.stride()[:3],
        *values_RKLD.stride()[:3],
        *(group, dim),
        block_group=max(_LEAST, triton.next_power_of_2(group)),
        block_dim=max(_LEAST, triton.next_power_of_2(dim)),
        block_keys=_KEYS,
        widens=_WIDENS,
    )
    return out_RHD


@triton.jit
def _attend_new(
    q,
    k,
    v,
    keys,
    values,
    lengths,
    out,
    scale,
    window,
    q_row,
    q_head,
    k_row,
    k_head,
    v_row,
    v_head,
    keys_row,
    keys_head,
    keys_at,
    values_row,
    values_head,
    values_at,
    group,
    dim,
    block_group: tl.constexpr,
    block_dim: tl.constexpr,
    block_keys: tl.constexpr,
    widens: tl.constexpr,
):
    """One row and one key head, with the queries that share it."""
    kind: tl.constexpr = tl.float32 if widens else keys.dtype.element_ty
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    member = tl.arange(0, block_group)
    at = tl.arange(0, block_dim)
    inside = at < dim
    held = tl.load(lengths + row)
    keys += row * keys_row + head * keys_head
    values += row * values_row + head * values_head
    new_key = tl.load(k + row * k_row + head * k_head + at, mask=inside, other=0.0)
    new_value = tl.load(v + row * v_row + head * v_head + at, mask=inside, other=0.0)
    tl.store(keys + held * keys_at + at, new_key, mask=inside)
    tl.store(values + held * values_at + at, new_value, mask=inside)

    heads = head * group + member
    both = (member < group)[:, None] & inside[None, :]
    queries = tl.load(q + row * q_row + heads[:, None] * q_head + at[None, :], mask=both, other=0.0)
    # The new token is seen first: its score is the largest so far.
    largest = tl.sum(queries.to(tl.float32) * new_key[None, :].to(tl.float32), axis=1) * scale
    total = tl.full((block_group,), 1.0, tl.float32)
    summed = tl.zeros((block_group, block_dim), tl.float32) + new_value[None, :].to(tl.float32)
    first = held * 0
    if window > 0:
        first = tl.maximum(held - window + 1, 0)
    for start in range(first, held, block_keys):
        token = start + tl.arange(0, block_keys)
        seen = token < held
        there = seen[:, None] & inside[None, :]
        some = tl.load(keys + token[:, None] * keys_at + at[None, :], mask=there, other=0.0)
        score = tl.dot(queries.to(kind), tl.trans(some.to(kind)), input_precision="ieee") * scale
        score = tl.where(seen[None, :], score, -float("inf"))
        new = tl.maximum(largest, tl.max(score, axis=1))
        share = tl.exp(score - new[:, None])
        shrunk = tl.exp(largest - new)
        some = tl.load(values + token[:, None] * values_at + at[None, :], mask=there, other=0.0)
        summed = summed * shrunk[:, None] + tl.dot(
            share.to(kind), some.to(kind), input_precision="ieee"
        )
        total = total * shrunk + tl.sum(share, axis=1)
        largest = new
    result = summed / total[:, None]
    where = out + (row * tl.num_programs(1) * group + heads[:, None]) * dim + at[None, :]
    tl.store(where, result.to(out.dtype.element_ty), mask=both)
