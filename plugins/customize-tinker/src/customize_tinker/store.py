"""What lies in the server's folder: sessions, runs, checkpoints and samplers of each tenant.

Knows no engine. Every path is made of checked ids, below the tenant's own folder, and nothing is
there before it is whole.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from customize import CheckpointError
from customize_tinker import ids
from customize_tinker.ids import Address, folder_name

_KINDS: tuple[ids.Kind, ...] = ("weights", "sampler_weights", "external_weights")
ADAPTER, STATE = "adapter", "state"
_FACTS = "checkpoint.json"


@attrs.frozen
class Adapter:
    """What a saved adapter is made with again."""

    base_model: str
    rank: int
    targets: tuple[str, ...] | str
    train_mlp: bool
    train_attn: bool


@attrs.frozen
class Run:
    """A model that was begun, at ``time_s``, in seconds since 1970."""

    model_id: str
    adapter: Adapter
    time_s: float
    metadata: Mapping[str, Any] | None


@attrs.frozen
class Checkpoint:
    """folder: with ``adapter`` and, where it can be trained on exactly, ``state``."""

    address: Address
    folder: Path
    adapter: Adapter
    time_s: float
    expires_s: float | None
    size_bytes: int
    made_by: int
    metadata: Mapping[str, Any] | None
    is_public: bool


@attrs.frozen
class CheckpointFacts:
    """What is told of a new checkpoint. made_by: the number of the command."""

    adapter: Adapter
    made_by: int
    ttl_s: int | None
    metadata: Mapping[str, Any] | None


class Tenant:
    """One tenant's part of the folder; of others what they publish is reached from here."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.folder = root / "tenants" / name
        self._root = root

    def session_file(self, session_id: str) -> Path:
        return self.folder / "sessions" / f"{session_id}.json"

    def run_folder(self, model_id: str) -> Path:
        return self.folder / "runs" / folder_name(model_id)

    def sampler_folder(self, sampler_id: str) -> Path:
        return self.folder / "samplers" / folder_name(sampler_id)

    def loss_file(self, loss_id: str) -> Path:
        return self.folder / "losses" / f"{folder_name(loss_id)}.json"

    def model_ids(self, session_id: str = "") -> list[str]:
        """Of every run that was begun, the newest first."""
        folders = (self.folder / "runs").glob(f"{session_id}*/run.json")
        newest = sorted(folders, key=lambda file: -file.stat().st_mtime)
        return [file.parent.name.replace("-", ":") for file in newest]

    def sessions(self) -> dict[str, dict[str, Any]]:  # any JSON
        """By id what their clients said of them, the newest first."""
        files = (self.folder / "sessions").glob("*.json")
        found = {file.stem: facts for file in files if (facts := read_json(file)) is not None}
        newest = sorted(found, key=lambda id: (found[id].get("time_s", 0.0), id), reverse=True)
        return {id: found[id] for id in newest}

    def session_ids(self) -> list[str]:
        """The newest first."""
        return list(self.sessions())

    def project_of(self, model_id: str) -> str | None:
        """What its session is filed under."""
        facts = read_json(self.session_file(ids.session_of(model_id))) or {}
        project: str | None = facts.get("project_id")
        return project

    def inflight_folder(self, model_id: str) -> Path:
        """Of the weights that a model's inflight samplers share."""
        return self.run_folder(model_id) / "inflight"

    def sampler_ids(self, session_id: str) -> list[str]:
        files = (self.folder / "samplers").glob(f"{session_id}-*/sampler.json")
        return [file.parent.name.replace("-", ":") for file in sorted(files)]

    def run(self, model_id: str) -> Run | None:
        """None where it has not begun."""
        file = self.run_folder(model_id) / "run.json"
        facts = read_json(file)
        if facts is None:
            return None
        return Run(model_id, adapter_from(facts["adapter"]), facts["time_s"], facts["metadata"])

    def last_asked_s(self, run: Run) -> float:
        """When its journal was written to, in seconds since 1970."""
        journals = self.run_folder(run.model_id).glob("journal-*.log")
        return max((file.stat().st_mtime for file in journals), default=run.time_s)

    def begin_run(self, run: Run) -> None:
        facts = {"adapter": attrs.asdict(run.adapter), "time_s": run.time_s}
        file = self.run_folder(run.model_id) / "run.json"
        write_json(file, {**facts, "metadata": run.metadata})

    def checkpoint(self, address: Address) -> Checkpoint:
        """Raises CheckpointError where there is none, or its time is over."""
        found = self._read(address)
        if found is None:
            raise CheckpointError(f"there is no checkpoint {address}")
        return found

    def readable(self, address: Address) -> Checkpoint:
        """One's own, or one that another tenant published.

        Raises:
            CheckpointError: there is none, or its time is over.
        """
        told = read_json(self._published_file(address))
        owner = self if told is None else Tenant(self._root, told["tenant"])
        return owner.checkpoint(address)

    def publish(self, address: Address) -> None:
        """Let every tenant load it, sample it and copy it, until ``unpublish``."""
        self.checkpoint(address)
        write_json(self._published_file(address), {"tenant": self.name})

    def unpublish(self, address: Address) -> None:
        self.checkpoint(address)
        self._published_file(address).unlink(missing_ok=True)

    def copy_checkpoint(self, found: Checkpoint, model_id: str, ttl_s: int | None) -> Address:
        """The same in a run of its own, which shares the files; a copy that is there stays.

        Raises:
            CheckpointError: the run has begun as something else.
        """
        address = attrs.evolve(found.address, model_id=model_id)
        if self._read(address) is not None:
            return address
        if self.run_folder(model_id).exists():
            raise CheckpointError(f"{model_id} was begun: take another model_seq_id for the copy")
        facts = CheckpointFacts(found.adapter, 0, ttl_s, found.metadata)
        self.write_checkpoint(address, facts, partial(_link, found.folder), overwrite=False)
        self.begin_run(Run(model_id, found.adapter, time.time(), None))
        return address

    def checkpoints(self, model_id: str) -> Iterator[Checkpoint]:
        """Those of a run, the oldest first."""
        found = []
        for kind in _KINDS:
            for file in (self.run_folder(model_id) / kind).glob(f"*/{_FACTS}"):
                found.append(self._read(Address(model_id, kind, file.parent.name)))
        yield from sorted((c for c in found if c is not None), key=lambda c: c.time_s)

    def write_checkpoint(
        self,
        address: Address,
        facts: CheckpointFacts,
        save: Callable[[Path], None],
        overwrite: bool,
    ) -> None:
        """``save`` fills the folder; then it takes its place at once.

        A command that is done again, after a kill, finds what it made.

        Raises:
            CheckpointError: the name is taken.
        """
        place, now = self._place(address), time.time()
        there = self._read(address)
        if there is not None and there.made_by == facts.made_by:
            return
        if there is not None and not overwrite:
            raise CheckpointError(f"{address} is there: take another name, or overwrite")
        with written_beside(place) as made:
            save(made)
            told = {
                "adapter": attrs.asdict(facts.adapter),
                "time_s": now,
                "expires_s": None if facts.ttl_s is None else now + facts.ttl_s,
                "size_bytes": sum(f.stat().st_size for f in made.rglob("*") if f.is_file()),
                "made_by": facts.made_by,
                "metadata": facts.metadata,
            }
            (made / _FACTS).write_text(json.dumps(told), "utf-8")

    def change_expiry(self, address: Address, ttl_s: int | None) -> None:
        found = self.checkpoint(address)
        file = found.folder / _FACTS
        facts = read_json(file) or {}
        facts["expires_s"] = None if ttl_s is None else time.time() + ttl_s
        write_json(file, facts)

    def delete_checkpoint(self, address: Address) -> None:
        self._remove(self.checkpoint(address))

    def _remove(self, found: Checkpoint) -> None:
        self._published_file(found.address).unlink(missing_ok=True)
        shutil.rmtree(found.folder, ignore_errors=True)

    def _published_file(self, address: Address) -> Path:
        place = self._root / "published" / folder_name(address.model_id) / address.kind
        return place / f"{address.name}.json"

    def _place(self, address: Address) -> Path:
        return self.run_folder(address.model_id) / address.kind / address.name

    def _read(self, address: Address) -> Checkpoint | None:
        folder = self._place(address)
        facts = read_json(folder / _FACTS)
        if facts is None:
            return None
        adapter, is_public = adapter_from(facts.pop("adapter")), self._is_public(address)
        found = Checkpoint(address, folder, adapter, is_public=is_public, **facts)
        if found.expires_s is not None and found.expires_s < time.time():
            self._remove(found)
            return None
        return found

    def _is_public(self, address: Address) -> bool:
        return self._published_file(address).is_file()


def _link(source: Path, folder: Path) -> None:
    """All files but the facts; they are written once, so a copy may share them."""
    for file in (file for file in source.rglob("*") if file.is_file()):
        place = folder / file.relative_to(source)
        if file.name == _FACTS:
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, place)
        except OSError:  # not every file system has links
            shutil.copyfile(file, place)


def adapter_from(facts: Mapping[str, Any]) -> Adapter:  # JSON values
    targets = facts["targets"]
    return Adapter(**{**facts, "targets": targets if isinstance(targets, str) else tuple(targets)})


def write_json(file: Path, value: Mapping[str, Any]) -> None:  # any JSON
    """Whole, or not there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_text(json.dumps(value), "utf-8")
    beside.replace(file)


def read_json(file: Path) -> dict[str, Any] | None:  # any JSON
    """None where there is no file."""
    try:
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return None
    return found


@contextmanager
def written_beside(place: Path) -> Iterator[Path]:
    """A folder that takes its place when the block ends, and is gone when that raises."""
    made, old = (place.with_name(f".{place.name}.{what}") for what in ("writing", "old"))
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    try:
        yield made
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    made.rename(place)
    shutil.rmtree(old, ignore_errors=True)
