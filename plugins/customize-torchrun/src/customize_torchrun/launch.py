"""What torchrun tells each process that it starts."""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path
from typing import NamedTuple

_TOLD = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class Launch(NamedTuple):
    """Which of how many processes this is, and where they meet.

    address, port: of the store that all can reach; ``agent`` where torchrun itself holds it.
    attempt: how often torchrun has started the group anew.
    """

    rank: int
    world: int
    local_rank: int
    local_world: int
    address: str
    port: int
    agent: bool
    attempt: int
    parent: int


@functools.cache
def launched() -> Launch | None:
    """None in a process that torchrun did not start."""
    told = os.environ
    if "TORCHELASTIC_RUN_ID" not in told or any(name not in told for name in _TOLD):
        return None
    return Launch(
        rank=int(told["RANK"]),
        world=int(told["WORLD_SIZE"]),
        local_rank=int(told["LOCAL_RANK"]),
        local_world=int(told["LOCAL_WORLD_SIZE"]),
        address=told["MASTER_ADDR"],
        port=int(told["MASTER_PORT"]),
        agent=told.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        attempt=int(told.get("TORCHELASTIC_RESTART_COUNT", "0")),
        parent=os.getppid(),
    )


def forget_launch() -> None:
    """Processes that this one starts are not of the group, and must not think so."""
    for name in ("TORCHELASTIC_RUN_ID", *_TOLD):
        os.environ.pop(name, None)


def whereabouts() -> str:
    """The machine, and on Linux the space in which process ids hold."""
    space = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()} {os.readlink(space) if space.is_symlink() else ''}".strip()
