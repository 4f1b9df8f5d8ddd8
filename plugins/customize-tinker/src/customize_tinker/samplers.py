"""What is sampled from: the base, checkpoints, and weights of a moment. Knows no sampling.

Weights of a moment are written as they are taken, and also kept open; those that were not used
for longest are opened from their files again.
"""

from __future__ import annotations

import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Any

import attrs

from customize import Engine, Session, Snapshot
from customize_tinker.ids import Address, session_of
from customize_tinker.refusals import missing
from customize_tinker.store import ADAPTER, Adapter, Tenant, read_json, write_json, written_beside

_OPEN = 16


@attrs.frozen
class Source:
    """What a sampler samples from. folder: of an adapter; None for the base itself.

    time_s: when it was written; another checkpoint may take its name. moves: the folder holds
    adapters by the numbers of the commands that saved them, of which the last is meant.
    """

    base_model: str
    model_path: str | None = None
    folder: Path | None = None
    time_s: float = 0.0
    moves: bool = False


@attrs.frozen(eq=False)
class Moved:
    """Weights that a model's inflight samplers now have. seq: of the command that saved them."""

    model_id: str
    seq: int
    snapshot: Snapshot
    base_model: str


class Samplers:
    """Sources by the ids of samplers, and the snapshots that are open."""

    def __init__(self, engine: Engine, keep: int) -> None:
        self._engine = engine
        self._keep = keep
        self._open: OrderedDict[tuple[Path, float], Snapshot] = OrderedDict()

    def register(self, tenant: Tenant, sampler_id: str, source: Source) -> None:
        """Raises CheckpointError where the source's checkpoint is not there."""
        if source.model_path is not None:
            tenant.readable(Address.parse(source.model_path))
        folder = tenant.sampler_folder(sampler_id)
        facts = {"base_model": source.base_model, "model_path": source.model_path}
        write_json(folder / "sampler.json", facts)

    def source(self, tenant: Tenant, sampler_id: str) -> Source:
        """Raises Refusal: there is no such sampler, or its weights made room for newer ones."""
        session_of(sampler_id)
        folder = tenant.sampler_folder(sampler_id)
        facts: dict[str, Any] | None = read_json(folder / "sampler.json")
        if facts is None:
            raise missing("such sampler: save a checkpoint by name to keep it for longer")
        if facts["model_path"] is not None:
            found = tenant.readable(Address.parse(facts["model_path"]))
            folder = found.folder / ADAPTER
            return Source(facts["base_model"], facts["model_path"], folder, found.time_s)
        if facts.get("follows") is not None:
            moving = tenant.inflight_folder(facts["follows"])
            return Source(facts["base_model"], None, moving, moves=True)
        own = folder / ADAPTER
        return Source(facts["base_model"], None, own if own.is_dir() else None)

    def keep(
        self,
        tenant: Tenant,
        sampler_id: str,
        session: Session,
        snapshot: Snapshot,
        adapter: Adapter,
    ) -> None:
        """Weights of this moment, for as long as no more than so many newer ones are there."""
        folder = tenant.sampler_folder(sampler_id)
        with written_beside(folder) as made:
            session.save_weights(made / ADAPTER)
            facts = {"base_model": adapter.base_model, "model_path": None}
            write_json(made / "sampler.json", facts)
        self._remember((folder / ADAPTER, 0.0), snapshot)
        self._forget_oldest(folder.parent, session_of(sampler_id))

    def move(self, tenant: Tenant, sampler_id: str, session: Session, moved: Moved) -> None:
        """One more sampler that follows a model, and what all that follow it have from now on."""
        folder = tenant.inflight_folder(moved.model_id)
        with written_beside(folder / str(moved.seq)) as made:
            session.save_weights(made / ADAPTER)
        self._remember((folder / str(moved.seq) / ADAPTER, 0.0), moved.snapshot)
        for old in _versions(folder)[:-1]:
            self._open.pop((old / ADAPTER, 0.0), None)
            shutil.rmtree(old, ignore_errors=True)
        facts = {"base_model": moved.base_model, "model_path": None, "follows": moved.model_id}
        write_json(tenant.sampler_folder(sampler_id) / "sampler.json", facts)

    def join(self, tenant: Tenant, sampler_id: str) -> int:
        """The number of one more client.

        Raises:
            Refusal: there is no such sampler.
        """
        self.source(tenant, sampler_id)
        file = tenant.sampler_folder(sampler_id) / "clients.json"
        number = int((read_json(file) or {"last": 0})["last"]) + 1
        write_json(file, {"last": number})
        return number

    def forget(self, tenant: Tenant, session_id: str) -> None:
        """Every sampler of a session that is over."""
        for folder in tenant.sampler_folder(session_id).parent.glob(f"{session_id}-*"):
            self._open.pop((folder / ADAPTER, 0.0), None)
            shutil.rmtree(folder, ignore_errors=True)
        for id in tenant.model_ids(session_id):
            for version in _versions(tenant.inflight_folder(id)):
                self._open.pop((version / ADAPTER, 0.0), None)
            shutil.rmtree(tenant.inflight_folder(id), ignore_errors=True)

    def open(self, source: Source) -> Snapshot:
        """Raises CheckpointError or ModelError where the files do not make one."""
        if source.folder is None:
            return self._engine.base()
        folder = _newest(source.folder) / ADAPTER if source.moves else source.folder
        key = folder, source.time_s
        if key not in self._open:
            self._remember(key, self._engine.open(folder))
        self._open.move_to_end(key)
        return self._open[key]

    def _remember(self, key: tuple[Path, float], snapshot: Snapshot) -> None:
        self._open[key] = snapshot
        while len(self._open) > _OPEN:
            self._open.popitem(last=False)

    def _forget_oldest(self, folder: Path, session_id: str) -> None:
        own = (p for p in folder.glob(f"{session_id}-*") if (p / ADAPTER).is_dir())
        for old in sorted(own, key=lambda path: path.stat().st_mtime)[: -self._keep]:
            self._open.pop((old / ADAPTER, 0.0), None)
            shutil.rmtree(old, ignore_errors=True)


def _versions(folder: Path) -> list[Path]:
    """Of weights that move, the newest last."""
    found = (path for path in folder.glob("*") if path.name.isdecimal())
    return sorted(found, key=lambda path: int(path.name))


def _newest(folder: Path) -> Path:
    if not (versions := _versions(folder)):
        raise missing("such sampler: its session is over")
    return versions[-1]
