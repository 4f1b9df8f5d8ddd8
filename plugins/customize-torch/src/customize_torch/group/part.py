"""What each member does of an order: its share, with its own copy of everything.

Engines, sessions and snapshots have the same numbers in all of them. Knows no method.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from torch import Tensor

from customize import (
    AdamW,
    Adapter,
    Backend,
    Batch,
    CrossEntropy,
    CustomizeError,
    LossOutput,
    ModelError,
    ModelFolder,
    OnToken,
    OutOfMemoryError,
    Prompt,
    Sampling,
    choose_backend,
    process_peak,
)
from customize_torch.cutting import pieces
from customize_torch.engine import TorchEngine
from customize_torch.group.bucket import digest, summed
from customize_torch.group.crew import NOTHING, Beside
from customize_torch.group.each import each_on, loaded
from customize_torch.group.files import files_of, sketch, write_files
from customize_torch.group.packing import (
    adapter_in,
    batch_in,
    completions_out,
    loss_in,
    prompts_in,
    shape_in,
)
from customize_torch.group.parcel import Parcel
from customize_torch.group.sharing import Longs, shares
from customize_torch.session import TorchSession, TorchSnapshot

# What a member computes for the others' sake; nothing of it is kept.
_IDLE = Batch.from_sequences([([0, 0], {"weights": [1.0, 1.0]})])


class Part:
    """The work of one member. device: which of this machine's is its own."""

    def __init__(self, rank: int, world: int, device: int) -> None:
        self._rank = rank
        self._world = world
        self._device = device
        self._held: dict[int, Any] = {}  # engines, sessions and snapshots
        self._fresh: Mapping[str, Tensor] = {}
        self._beside = NOTHING
        self._sharded = False  # whether a base lies in pieces

    def do(self, order: Parcel, beside: Beside = NOTHING) -> Parcel:
        """What an order says."""
        self._beside = beside
        for number in order.value.get("free", ()):
            self._held.pop(number, None)
        return DOING[order.value["do"]](self, order) or Parcel()

    def leaves_others_waiting(self, error: Exception) -> bool:
        """Whether members may wait for this one in what it did not end.

        What is refused is refused by all, or each computes by itself; memory runs out in one alone,
        and over a base in pieces all take part in every pass.
        """
        if isinstance(error, OutOfMemoryError):
            return self._sharded
        return not isinstance(error, CustomizeError)

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

    def settle(self, order: Parcel) -> Parcel:
        """What a backend that is left choices would choose here."""
        told = order.value
        made = each_on(told["on"], told["options"]).settled(told["kept"])
        options = attrs.asdict(made)  # type: ignore[arg-type]  # it is of attrs
        told = {"on": made.name, "options": options, "numerics": dict(made.numerics())}
        return Parcel({**told, "machine": dict(made.machine())})

    def memory(self, order: Parcel) -> Parcel:
        """What training would hold in this member, by what holds it."""
        told = order.value
        model = shape_in(told["shape"]), adapter_in(told["adapter"])
        amounts = told["largest"], told["step_tokens"]
        return Parcel(dict(self._backend(order).memory(*model, *amounts)))

    def sampling_memory(self, order: Parcel) -> Parcel:
        """And its share of a sampling."""
        told = order.value
        shape, backend = shape_in(told["shape"]), self._backend(order)
        return Parcel(dict(backend.sampling_memory(shape, told["rows"], told["tokens"])))

    def room(self, order: Parcel) -> Parcel:
        """What is free for it."""
        return Parcel({"bytes": self._backend(order).available_bytes()})

    def load(self, order: Parcel) -> Parcel:
        """The base, from the same path on every machine."""
        model = order.value["model"]
        folder = ModelFolder(**{**model, "path": Path(model["path"])})
        if not folder.path.is_dir():
            raise ModelError(
                f"there is no folder {folder.path} on this machine: the model must be at the same "
                "path on each, on a shared disk or as a copy"
            )
        self._sharded = self._sharded or order.value["shard"]
        within, shard = order.value["backend"], order.value["shard"]
        engine: Any = loaded(self._backend(order), folder, within, shard)
        self._keep(order, engine)
        told = {"capabilities": sorted(engine.capabilities), "dtype": engine.dtype}
        return Parcel({"sketch": sketch(folder.path), **told})

    def _backend(self, order: Parcel) -> Backend:
        """What this member computes on, and its own device of it."""
        options = dict(order.value["options"])
        if "device" in options:
            options["device"] = self._device
        return choose_backend(order.value["on"], options)

    def open(self, order: Parcel) -> None:
        engine, seed = self.engine(order.value["of"]), order.value["seed"]
        kind, options = order.value["adapter"]
        with self._folder(order) as folder:
            on = None if options.get("on") is None else str(folder)
            adapter: Adapter | Path = folder if kind == "saved" else adapter_in((kind, options), on)
            self._keep(order, engine.open(adapter, seed))

    def base(self, order: Parcel) -> None:
        self._keep(order, self._held[order.value["of"]].base())

    def forward(self, order: Parcel) -> Parcel:
        snapshot, batch = self.snapshot(order.value["of"]), batch_in(order)
        snapshot.policy.check(batch.tokens)
        share = self._share_of(batch)
        logprobs = np.zeros(0, np.float32)
        if len(share):
            logprobs = snapshot.forward(batch.take(share)).result()
        for _ in range(self._idle_passes(snapshot, batch, by_group=False)):
            snapshot.forward(_IDLE)
        return Parcel({}, {"logprobs": logprobs})

    def learn(self, order: Parcel) -> Parcel:
        """The gradient of this process's share, kept aside until all have theirs."""
        session, batch, loss = self.session(order.value["of"]), batch_in(order), loss_in(order)
        session.policy.check(batch.tokens)
        share = self._share_of(batch)
        self._fresh, output = {}, LossOutput(0.0, np.zeros(0, np.float32))
        pending, session.gradients = session.gradients, {}
        try:
            if len(share):
                output = session.forward_backward(batch.take(share), loss).result()
                self._fresh, session.gradients = session.gradients, {}
            for _ in range(self._idle_passes(session, batch, by_group=loss.couples == "group")):
                session.forward_backward(_IDLE, CrossEntropy())
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
        share = prompt_shares(prompts, sampling, self._world)[self._rank]
        snapshot = self.snapshot(order.value["of"])
        if snapshot.policy.base.place.sharded:  # all draw all: in each pass all take part
            told = self._told_by_place(np.arange(len(prompts)), only=share)
            drawn = snapshot.sample(prompts, sampling, told).result()
            return completions_out([drawn[place] for place in share])
        own = [prompts[i] for i in share]
        told = self._told_by_place(share, only=share)
        return completions_out(snapshot.sample(own, sampling, told).result() if own else [])

    def distributions(self, order: Parcel) -> Parcel | None:
        """By one member alone, unless all take part in its pass."""
        snapshot = self.snapshot(order.value["of"])
        if self._rank and not snapshot.policy.base.place.sharded:
            return None
        found_TV = snapshot.distributions(order.arrays["tokens"], order.value["start"])
        return Parcel({"width": found_TV.shape[1]}, {"logprobs": found_TV.reshape(-1)})

    def peak(self, order: Parcel) -> Parcel:
        """Of the device; of the process where it has none, and the conductor is another one."""
        own = self.snapshot(order.value["of"]).device_peak()
        if own is None and order.value["alone"]:
            own = process_peak()
        return Parcel({"bytes": own})

    def become(self, order: Parcel) -> Parcel:
        session = self.session(order.value["of"])
        with self._folder(order) as folder:
            session.load(folder)
        return Parcel({"seed": session.seed})

    def save(self, order: Parcel) -> Parcel | None:
        return self._written(self.session(order.value["of"]).save)

    def save_weights(self, order: Parcel) -> Parcel | None:
        return self._written(self.session(order.value["of"]).save_weights)

    def _written(self, write: Callable[[Path], None]) -> Parcel | None:
        """One member writes: where the conductor wants the files, or to send them there."""
        if self._rank:
            return None
        if self._beside.folder is not None:
            write(self._beside.folder)
            return None
        with tempfile.TemporaryDirectory(prefix="customize-") as folder:
            write(Path(folder))
            return Parcel({}, files_of(Path(folder)))

    def _keep(self, order: Parcel, made: object) -> None:
        self._held[order.value["as"]] = made

    def _share_of(self, batch: Batch) -> Longs:
        return shares(batch.lengths, batch.groups, self._world)[self._rank]

    def _idle_passes(
        self, snapshot: TorchSnapshot | TorchSession, batch: Batch, by_group: bool
    ) -> int:
        """How many this member is short of, where all take part in every pass."""
        if not snapshot.policy.base.place.sharded:
            return 0
        budget = snapshot.budget.tokens
        passes = [
            len(list(pieces(batch.take(share), budget, by_group))) if len(share) else 0
            for share in shares(batch.lengths, batch.groups, self._world)
        ]
        return max(passes) - passes[self._rank]

    def _told_by_place(self, places: Longs, only: Longs) -> OnToken | None:
        """Tells of the tokens of some prompts, by where all of them are."""
        listener, wanted = self._beside.on_token, set(only.tolist())
        if listener is None:
            return None

        def tell(i: int, j: int, token: int) -> None:
            if int(places[i]) in wanted:
                listener(int(places[i]), j, token)

        return tell

    @contextmanager
    def _folder(self, order: Parcel) -> Iterator[Path]:
        """The files that were sent, in a folder; the conductor's own process has them."""
        if self._beside.folder is not None:
            yield self._beside.folder
            return
        with tempfile.TemporaryDirectory(prefix="customize-") as folder:
            write_files(Path(folder), order.arrays)
            yield Path(folder)


DOING: Mapping[str, Callable[[Part, Parcel], Parcel | None]] = {
    "settle": Part.settle,
    "memory": Part.memory,
    "sampling memory": Part.sampling_memory,
    "room": Part.room,
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
    "distributions": Part.distributions,
    "peak": Part.peak,
    "become": Part.become,
    "save": Part.save,
    "save weights": Part.save_weights,
    "end": lambda part, order: None,
}


def prompt_shares(prompts: list[Prompt], sampling: Sampling, world: int) -> list[Longs]:
    """Equal prompts stay together: they are read once."""
    sizes = [(len(p.tokens) + sampling.max_tokens) * p.n for p in prompts]
    first: dict[bytes, int] = {}
    groups = [first.setdefault(p.tokens.tobytes(), i) for i, p in enumerate(prompts)]
    return shares(sizes, groups, world)
