"""Gradients summed over processes, and weights told by a hash. Knows tensors by name only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor

Tensors = Mapping[str, Tensor]


def summed(gradients: Tensors, like: Tensors) -> dict[str, Tensor]:
    """The sum of every process's gradients, in one bucket ordered by name.

    A tensor that has no gradient here counts as zeros, so a process without work takes part. The
    reduction is a plain sum: gloo refuses a premultiplied one, and NCCL had versions in which it
    zeroes.
    """
    names = sorted(like)
    parts = [gradients.get(n, torch.zeros_like(like[n])).flatten() for n in names]
    bucket = torch.cat(parts)
    dist.all_reduce(bucket, op=dist.ReduceOp.SUM)
    sizes = [like[name].numel() for name in names]
    pieces = zip(names, bucket.split(sizes), strict=True)
    return {name: piece.view_as(like[name]) for name, piece in pieces}


def digest(tensors: Tensors) -> str:
    """sha256 over names and bits."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        bits = tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        found.update(f"{name} {tuple(tensors[name].shape)}\n".encode())
        found.update(bits.numpy())
    return found.hexdigest()
