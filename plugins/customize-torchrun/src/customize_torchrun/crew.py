"""The processes that torchrun started, as a crew whose conductor is process 0.

An order's label goes through the store, where one waits without a limit while the method thinks;
its arrays go by broadcast, and replies from process to process. Nothing is pickled.
"""

from __future__ import annotations

import atexit
import functools
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from customize import BackendError, Unsupported
from customize_torch.group.crew import NOTHING, Beside, Crew, raise_refusals, refusal
from customize_torch.group.joining import join
from customize_torch.group.parcel import Array, Parcel, size_of, unpack
from customize_torch.group.part import Part
from customize_torchrun.heart import GO_ON, Heart
from customize_torchrun.launch import Launch, forget_launch, launched

Do = Callable[[Parcel], Parcel]
_FOR_EVER = timedelta(days=365)
_MEETING = timedelta(minutes=5)
_CAUSE_S = 3.0  # a process that raised tells why, then its connections break


class Launched(Crew):
    """The group, as one of its processes sees it. Made once a process, by ``crew_of``.

    part: this process's own.
    """

    is_first_here = True

    def __init__(self, launch: Launch, timeout_s: float, silence_s: float, devices: bool) -> None:
        self.launch = launch
        self.world = launch.world
        self.part = Part(launch.rank, launch.world, launch.local_rank)
        self._timeout_s = timeout_s
        self._orders = 0
        self._in_order = False
        store = functools.partial(_store, launch)
        self._store = store(hosts=launch.rank == 0 and not launch.agent, timeout=_FOR_EVER)
        join(
            dist.PrefixStore("group", store(timeout=_MEETING)),
            launch.rank,
            launch.world,
            timeout_s,
            devices=devices,
            one_machine=launch.world == launch.local_world,
        )
        watched = range(1, launch.world) if launch.rank == 0 else [0]
        beats = store(timeout=timedelta(seconds=silence_s))
        self._heart = Heart(beats, launch, watched, silence_s)
        self._heart.start()
        forget_launch()
        if launch.rank == 0:
            atexit.register(self._dismiss)

    def order(
        self, value: Mapping[str, Any], arrays: Mapping[str, Array], beside: Beside
    ) -> list[Parcel]:
        parcel = Parcel(value, arrays)
        with self._undisturbed():
            self._send_out(parcel)
            own = _tried(functools.partial(self.part.do, beside=beside), parcel)
            if isinstance(own, Exception) and self.part.leaves_others_waiting(own):
                raise self._ended_by(own) from own
            replies = [self._receive(rank) for rank in range(1, self.launch.world)]
            self._store.delete_key(f"order/{self._orders}")
        if isinstance(own, Exception):
            raise own
        raise_refusals(replies, first=1)
        return [own, *replies]

    def serve(self) -> None:
        """Do what process 0 orders until it has nothing more."""
        for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            signal.signal(number, signal.SIG_IGN)  # process 0 finishes its step, and then says so
        try:
            while True:
                order = self._await()
                reply = _tried(self.part.do, order)
                if isinstance(reply, Exception):
                    if self.part.leaves_others_waiting(reply):
                        raise reply
                    reply = refusal(reply)
                self._reply(reply)
                if order.value.get("do") == "end":
                    break
        except BaseException as error:
            self._heart.fail(self._named(error))
            raise
        self._heart.stop()
        dist.destroy_process_group()

    def _ended_by(self, error: Exception) -> BackendError:
        """What process 0 raised ends all, unless it broke off here what another one had ended."""
        cause = self._heart.cause(_CAUSE_S) or self._named(error)
        self._heart.fail(cause)
        return _end(cause)

    def _named(self, error: BaseException) -> str:
        where = f"process {self.launch.rank} on {socket.gethostname()}"
        return f"{where} raised {type(error).__name__}: {error}"

    def _dismiss(self) -> None:
        """Let the others go, as this process ends."""
        if self._in_order:
            self._heart.fail("process 0 ended in the middle of an operation")
            return
        self._heart.stop()  # it would miss those that leave
        with suppress(BackendError):
            self.order({"do": "end"}, {}, NOTHING)
            dist.destroy_process_group()

    @contextmanager
    def _undisturbed(self) -> Iterator[None]:
        if self._in_order:
            raise BackendError(f"the group of processes is at its end. {GO_ON}")
        self._in_order = True
        yield
        self._in_order = False

    def _send_out(self, parcel: Parcel) -> None:
        self._orders += 1
        self._store.set(f"order/{self._orders}", parcel.label())
        content = torch.from_numpy(parcel.content())
        if len(content):
            with self._waiting("the processes"):
                dist.broadcast(content, src=0)

    def _await(self) -> Parcel:
        self._orders += 1
        label = self._store.get(f"order/{self._orders}").decode()
        content = torch.empty(size_of(label), dtype=torch.uint8)
        if len(content):
            dist.broadcast(content, src=0)
        return unpack(label, content.numpy())

    def _reply(self, parcel: Parcel) -> None:
        label = np.frombuffer(parcel.label().encode(), np.uint8)
        content = parcel.content()
        dist.send(torch.tensor([len(label), len(content)]), dst=0)
        dist.send(torch.from_numpy(np.concatenate([label, content])), dst=0)

    def _receive(self, rank: int) -> Parcel:
        with self._waiting(f"process {rank}"):
            sizes = torch.empty(2, dtype=torch.int64)
            dist.recv(sizes, src=rank)
            length, rest = sizes.tolist()
            body: Tensor = torch.empty(length + rest, dtype=torch.uint8)
            dist.recv(body, src=rank)
        return unpack(bytes(body[:length].numpy()).decode(), body[length:].numpy())

    @contextmanager
    def _waiting(self, whom: str) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            cause = self._heart.cause(_CAUSE_S) or (
                f"{whom} did not answer within timeout_s={self._timeout_s:g}, or is gone "
                f"({str(error).splitlines()[0]})"
            )
            self._heart.fail(cause)
            raise _end(cause) from error


@functools.cache
def crew_of(timeout_s: float, silence_s: float, devices: bool) -> Launched | None:
    """This process's group, met when first asked for; None where it is alone."""
    launch = launched()
    if launch is None or launch.world == 1:
        return None
    if dist.is_initialized():
        raise Unsupported(
            "this process is in a group of torch.distributed already: give the backend torchrun "
            "the same options wherever it is named, and make no group beside it"
        )
    return Launched(launch, timeout_s, silence_s, devices)


def _store(launch: Launch, *, hosts: bool = False, timeout: timedelta) -> dist.Store:
    """One client of the store: each waits by itself, so one that waits holds up no other."""
    tcp = dist.TCPStore(
        launch.address, launch.port, None, hosts, timeout=timeout, wait_for_workers=False
    )
    return dist.PrefixStore(f"customize/{launch.attempt}", tcp)


def _end(cause: str) -> BackendError:
    return BackendError(f"{cause}: all processes end. {GO_ON}")


def _tried(do: Do, order: Parcel) -> Parcel | Exception:
    try:
        return do(order)
    except Exception as error:
        return error
