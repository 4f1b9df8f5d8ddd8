"""Processes meet as a group of torch. Knows not who started them."""

from __future__ import annotations

import os
import sys
from datetime import timedelta

import torch.distributed as dist


def join(
    store: dist.Store,
    rank: int,
    world: int,
    timeout_s: float,
    *,
    devices: bool,
    one_machine: bool,
) -> None:
    """Become one of the group; returns when all have.

    timeout_s: that an operation of the group may take. devices: whether GPUs exchange too.
    one_machine: then no network card is asked, which may have no address that answers.
    """
    if one_machine and sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if devices else "gloo",
        store=store,
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=timeout_s),
    )
