"""What workers are asked for a plan, without a cluster: each is a part in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import customize
from customize import LoRA, ModelShape
from customize.planning.advice import Way, advice
from customize.testing import write_tiny_model
from customize_ray.backend import Ray
from customize_torch.backend import CPU
from customize_torch.group.conductor import Conductor
from customize_torch.group.crew import Beside, Crew
from customize_torch.group.engine import SpreadEngine
from customize_torch.group.parcel import Array, Parcel, unpack
from customize_torch.group.part import Part

pytest.importorskip("customize_sft")

EACH: Mapping[str, Any] = {"dtype": "float32", "threads": 1, "token_budget": 64}
WORKERS = Ray(workers=3, on="cpu", on_options=EACH)


class AtHand(Crew):
    """Members that stand in for actors; what is said goes through the same parcels."""

    is_first_here = False

    def __init__(self, world: int) -> None:
        self.world = world
        self._parts = [Part(rank, world, device=0) for rank in range(world)]

    def order(
        self, value: Mapping[str, Any], arrays: Mapping[str, Array], beside: Beside
    ) -> list[Parcel]:
        sent = Parcel(value, arrays)
        replies = [part.do(unpack(sent.label(), sent.content())) for part in self._parts]
        return [unpack(reply.label(), reply.content()) for reply in replies]


@pytest.fixture(autouse=True)
def _team(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of the three on one machine."""
    conductor = Conductor(AtHand(3))
    team = SimpleNamespace(conductor=lambda: conductor, most_together=2)
    monkeypatch.setattr(Ray, "_team", lambda self: team)
    monkeypatch.setattr(Ray, "probe", lambda self: None)


@pytest.fixture
def shape(tmp_path: Path) -> ModelShape:
    return ModelShape.of_folder(write_tiny_model(tmp_path / "tiny").path)


def test_a_worker_holds_what_one_process_does_of_its_share(shape: ModelShape) -> None:
    one, workers = CPU(**EACH), WORKERS.settled({})
    of_a_third = one.memory(shape, LoRA(rank=2), 5, 60)
    assert workers.memory(shape, LoRA(rank=2), 5, 180) == of_a_third
    assert workers.memory(shape, LoRA(rank=2), 5, float("inf")) == one.memory(
        shape, LoRA(rank=2), 5, float("inf")
    )
    assert workers.sampling_memory(shape, 7, 100) == one.sampling_memory(shape, 3, 34)


def test_workers_on_one_machine_share_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([9e9, 8e9, 10e9])
    monkeypatch.setattr(CPU, "available_bytes", lambda self: next(free))
    assert WORKERS.settled({}).available_bytes() == 4e9
    monkeypatch.setattr(CPU, "available_bytes", lambda self: None)
    assert WORKERS.settled({}).available_bytes() is None


def test_a_run_may_change_of_workers_what_it_may_of_one() -> None:
    workers = WORKERS.settled({})
    assert workers.may_change() == CPU(**EACH).may_change() < workers.numerics().keys()


def test_what_makes_workers_smaller_is_told_as_their_options(shape: ModelShape) -> None:
    workers = WORKERS.settled({})
    adapter = LoRA(rank=2)
    plain = sum(workers.memory(shape, adapter, 8, 200).values())

    def fits(way: Way) -> bool:
        held = way.backend.memory(shape, way.adapter, way.largest, 200)
        return sum(held.values()) < plain

    told = advice(Way(workers, adapter, 8), fits)
    assert told.startswith(
        "--set backend=ray --set backend_options.on_options.token_budget=8: the same result"
    )


def test_a_plan_tells_the_memory_of_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    write_tiny_model(tmp_path / "tiny")
    rows = [json.dumps({"prompt": f"{n:02} ask", "completion": "yes"}) for n in range(12)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    each = {**EACH, "token_budget": 10_000}

    def planned(backend: str, **options: Any) -> customize.Plan:
        return customize.plan(
            customize.Recipe(
                model=str(tmp_path / "tiny"),
                data=str(tmp_path / "rows.jsonl"),
                to=str(tmp_path / "run"),
                options={"batch_size": 12},
                backend=backend,
                backend_options=options,
            )
        )

    one, third = planned("cpu", **each), planned("ray", workers=3, on="cpu", on_options=each)
    assert third.memory["weights"] == one.memory["weights"]
    assert third.memory["activations"] == pytest.approx(one.memory["activations"] / 3)
    assert third.available is not None
    assert third.computes["processes"] == 3


def test_what_is_held_on_processors_is_told_of_the_workers_and_not_of_this_process(
    tmp_path: Path,
) -> None:
    model, parts = write_tiny_model(tmp_path / "tiny"), AtHand(2)

    def peak() -> int | None:
        return SpreadEngine(Conductor(parts), "ray", "cpu", EACH, model, 1).base().device_peak()

    told = peak()
    assert told is not None
    assert told > 10e6
    parts.is_first_here = True
    assert peak() is None
