"""What each process does of an order: its share, with its own copy of everything.

Engines, sessions and snapshots have the same numbers in all processes. Knows no method.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from customize import (
    AdamW,
    Batch,
    Completion,
    Full,
    LoRA,
    ModelError,
    ModelFolder,
    OnToken,
    Prompt,
    Sampling,
    choose_backend,
)
from customize_torch.engine import TorchEngine
from customize_torch.session import TorchSession, TorchSnapshot
from customize_torchrun.bucket import digest, summed
from customize_torchrun.launch import Launch
from customize_torchrun.packing import batch_in, completions_out, loss_in, prompts_in
from customize_torchrun.parcel import Parcel
from customize_torchrun.sharing import Longs, shares

_PLACES, _BLOCK = 64, 4096  # of a file, by which it is told from another of its size


class Part:
    """The work of one process. ``at_hand`` is process 0's own folder, where files are sent."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._held: dict[int, Any] = {}  # engines, sessions and snapshots
        self._fresh: Mapping[str, Tensor] = {}
        self._on_token: OnToken | None = None
        self._at_hand: Path | None = None

    def do(
        self, order: Parcel, on_token: OnToken | None = None, at_hand: Path | None = None
    ) -> Parcel:
        """What an order says."""
        self._on_token, self._at_hand = on_token, at_hand
        for number in order.value.get("free", ()):
            self._held.pop(number, None)
        return DOING[order.value["do"]](self, order) or Parcel()

    def engine(self, number: int) -> TorchEngine:
        found: TorchEngine = self._held[number]
        return found

    def session(self, number: int) -> TorchSession:
        found: TorchSession = self._held[number]
        return found

    def snapshot(self, number: int) -> TorchSnapshot:
        """Also a session, as it is now."""
        found: TorchSnapshot = self._held[number]
        return found

    def load(self, order: Parcel) -> Parcel:
        """The base, from the same path on every machine."""
        model, options = order.value["model"], dict(order.value["options"])
        folder = ModelFolder(**{**model, "path": Path(model["path"])})
        if not folder.path.is_dir():
            raise ModelError(
                f"there is no folder {folder.path} on this machine: the model must be at the same "
                "path on each, on a shared disk or as a copy"
            )
        if "device" in options:
            options["device"] = self._launch.local_rank
        backend = choose_backend(order.value["on"], options)
        self._keep(order, backend.load(folder))
        return Parcel({"sketch": sketch(folder.path)})

    def open(self, order: Parcel) -> None:
        engine, seed = self.engine(order.value["of"]), order.value["seed"]
        kind, options = order.value["adapter"]
        with self._folder(order) as folder:
            if kind == "saved":
                adapter: LoRA | Full | Path = folder
            elif kind == "full":
                adapter = Full()
            else:
                targets = options["targets"]
                targets = targets if isinstance(targets, str) else tuple(targets)
                on = str(folder) if options["on"] is not None else None
                adapter = LoRA(**{**options, "targets": targets, "on": on})
            self._keep(order, engine.open(adapter, seed))

    def base(self, order: Parcel) -> None:
        self._keep(order, self._held[order.value["of"]].base())

    def forward(self, order: Parcel) -> Parcel:
        batch = batch_in(order)
        share = self._share_of(batch)
        if not len(share):
            return Parcel({}, {"logprobs": np.zeros(0, np.float32)})
        logprobs = self.snapshot(order.value["of"]).forward(batch.take(share)).result()
        return Parcel({}, {"logprobs": logprobs})

    def learn(self, order: Parcel) -> Parcel:
        """The gradient of this process's share, kept aside until all have theirs."""
        session, batch = self.session(order.value["of"]), batch_in(order)
        share = self._share_of(batch)
        self._fresh = {}
        if not len(share):
            return Parcel({"loss": 0.0}, {"logprobs": np.zeros(0, np.float32)})
        pending, session.gradients = session.gradients, {}
        try:
            output = session.forward_backward(batch.take(share), loss_in(order)).result()
            self._fresh = session.gradients
        finally:
            session.gradients = pending
        return Parcel({"loss": output.loss}, {"logprobs": output.logprobs})

    def add(self, order: Parcel) -> None:
        """The sum of all shares joins what is pending, in every process."""
        session = self.session(order.value["of"])
        session.add(summed(self._fresh, session.tensors))
        self._fresh = {}

    def forget(self, order: Parcel) -> None:
        self.session(order.value["of"]).gradients = {}

    def step(self, order: Parcel) -> Parcel:
        session = self.session(order.value["of"])
        return Parcel({"norm": session.optim_step(AdamW(**order.value["optimizer"])).result()})

    def prove(self, order: Parcel) -> Parcel:
        return Parcel({"digest": digest(self.session(order.value["of"]).tensors)})

    def take_snapshot(self, order: Parcel) -> None:
        self._keep(order, self.session(order.value["of"]).snapshot(order.value["name"]))

    def named_snapshot(self, order: Parcel) -> None:
        self._keep(order, self.session(order.value["of"]).named_snapshot(order.value["name"]))

    def sample(self, order: Parcel) -> Parcel:
        prompts, sampling = prompts_in(order)
        share = prompt_shares(prompts, sampling, self._launch.world)[self._launch.rank]
        own = [prompts[i] for i in share]
        snapshot = self.snapshot(order.value["of"])
        drawn: list[list[Completion]] = []
        if own:
            told = self._told_by_place(share)
            drawn = snapshot.sample(own, sampling, told).result()
        return completions_out(drawn)

    def become(self, order: Parcel) -> None:
        with self._folder(order) as folder:
            self.session(order.value["of"]).load(folder)

    def _keep(self, order: Parcel, made: object) -> None:
        self._held[order.value["as"]] = made

    def _share_of(self, batch: Batch) -> Longs:
        return shares(batch.lengths, batch.groups, self._launch.world)[self._launch.rank]

    def _told_by_place(self, share: Longs) -> OnToken | None:
        listener = self._on_token
        if listener is None:
            return None
        return lambda i, j, token: listener(int(share[i]), j, token)

    @contextmanager
    def _folder(self, order: Parcel) -> Iterator[Path]:
        """The files that were sent, in a folder; process 0 has its own."""
        if self._at_hand is not None:
            yield self._at_hand
            return
        with tempfile.TemporaryDirectory(prefix="customize-") as folder:
            for name, content in order.arrays.items():
                file = Path(folder, name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content.tobytes())
            yield Path(folder)


DOING: Mapping[str, Callable[[Part, Parcel], Parcel | None]] = {
    "load": Part.load,
    "open": Part.open,
    "base": Part.base,
    "forward": Part.forward,
    "learn": Part.learn,
    "add": Part.add,
    "forget": Part.forget,
    "step": Part.step,
    "prove": Part.prove,
    "snapshot": Part.take_snapshot,
    "named snapshot": Part.named_snapshot,
    "sample": Part.sample,
    "become": Part.become,
    "end": lambda part, order: None,
}


def prompt_shares(prompts: list[Prompt], sampling: Sampling, world: int) -> list[Longs]:
    """Equal prompts stay together: they are read once."""
    sizes = [(len(p.tokens) + sampling.max_tokens) * p.n for p in prompts]
    first: dict[bytes, int] = {}
    groups = [first.setdefault(p.tokens.tobytes(), i) for i, p in enumerate(prompts)]
    return shares(sizes, groups, world)


def sketch(folder: Path) -> str:
    """sha256 over the names, sizes and some places of a folder's files: quick, and tells models
    apart.
    """
    found = hashlib.sha256()
    for file in sorted(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors")):
        size = file.stat().st_size
        found.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as stream:
            for place in range(_PLACES):
                stream.seek(size * place // _PLACES)
                found.update(stream.read(_BLOCK))
    return found.hexdigest()
