"""One process of a crew: an actor that does its part. Knows no method.

What is said to it and what it says are texts and bytes; Ray carries them.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import numpy.typing as npt
import ray
import torch.distributed as dist

from customize import CustomizeError
from customize_torch.group.crew import refusal
from customize_torch.group.joining import join
from customize_torch.group.parcel import Parcel, unpack
from customize_torch.group.part import Part

Bytes = npt.NDArray[np.uint8]
LOOPBACK = "127.0.0.1"  # where all are on one machine


class Worker:
    """A part of every order, and a place among the others."""

    def __init__(self, rank: int, world: int) -> None:
        self._rank = rank
        self._world = world
        self._part = Part(rank, world, device=0)  # Ray shows each the device that is its own

    def where(self) -> tuple[str, str]:
        """The machine: its id in the cluster, and its address."""
        return ray.get_runtime_context().get_node_id(), ray.util.get_node_ip_address()

    def host(self, address: str) -> int:
        """Begin the store where all will meet: its port."""
        self._store = dist.TCPStore(address, 0, None, True, wait_for_workers=False)
        return int(self._store.port)

    def meet(self, address: str, port: int, timeout_s: float, devices: bool) -> None:
        """Join the others; returns when all have."""
        limit = timedelta(seconds=timeout_s)
        if self._rank:
            self._store = dist.TCPStore(
                address, port, None, False, timeout=limit, wait_for_workers=False
            )
        join(
            self._store,
            self._rank,
            self._world,
            timeout_s,
            devices=devices,
            one_machine=address == LOOPBACK,
        )

    def do(self, label: str, content: Bytes) -> tuple[str, Bytes]:
        """What an order says; what is refused on purpose is a reply."""
        try:
            reply: Parcel = self._part.do(unpack(label, content))
        except CustomizeError as error:
            reply = refusal(error)
        return reply.label(), reply.content()
