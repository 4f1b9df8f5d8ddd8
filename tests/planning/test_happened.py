"""A plan is held against what happened, which the next one knows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import customize
from customize import plan
from customize._memory import peak_bytes
from customize.cli.plan_command import command
from customize.planning.happened import compared
from customize.planning.rates import Rate, rate_of, remember
from customize.runs.folder import RunFolder
from customize.training.recipe import Recipe
from customize.training.recipe_making import make_recipe

pytest.importorskip("customize_sft")
pytest.importorskip("customize_torch")


def made(recipe: Mapping[str, Any], **changed: Any) -> Recipe:
    return make_recipe({**recipe, **changed}, what="a test")


def planned(recipe: Mapping[str, Any], *settings: str) -> str:
    """What the command says of the recipe, with some settings more."""
    given = [f"--set={key}={recipe[key]}" for key in ("model", "data", "to", "backend")]
    given += [
        f"--set={key}.{name}={value}"
        for key in ("backend_options", "options")
        for name, value in recipe[key].items()
    ]
    given += [setting if setting[0] == "-" else f"--set={setting}" for setting in settings]
    return CliRunner().invoke(command, given, catch_exceptions=False).output


def took(folder: RunFolder | None, seconds: float) -> None:
    """As if training in this folder had taken so long."""
    assert folder is not None
    cost = folder.cost()
    assert cost is not None
    folder.keep_cost({**cost, "seconds": seconds})


def test_the_plan_made_before_a_run_is_what_it_is_held_against(
    recipe: Mapping[str, Any], tmp_path: Path
) -> None:
    flops, machine = plan(made(recipe)).flops, plan(made(recipe)).machine
    remember(machine, "another run", flops, 80.0)
    assert "Time: 80 s" in planned(recipe)
    folder = customize.train(**recipe).folder
    took(folder, 100.0)
    remember(machine, "a run of another recipe since", flops, 20.0)
    for _ in range(2):  # and it stays so, whatever is remembered of the run itself
        told = planned(recipe)
        assert "The run is finished: training took 100 s, planned 80 s." in told
        assert "by 3 runs on this machine" in planned(recipe)
    assert folder is not None
    kept = json.loads((folder.path / "plan.json").read_text())
    assert kept["plan"]["seconds"][0] == pytest.approx(80.0)
    assert kept["plan"]["stages"][0]["steps"] == 3
    assert kept["happened"]["seconds"] == 100.0
    happened = json.loads(planned(recipe, "--json"))["happened"]
    assert (happened["planned_s"], happened["planned_before"]) == (pytest.approx(80.0), True)
    assert max(map(len, told.splitlines())) <= 80


def test_a_run_that_nobody_planned_is_held_against_what_others_show(
    recipe: Mapping[str, Any],
) -> None:
    folder = customize.train(**recipe).folder
    took(folder, 100.0)
    first = planned(recipe)
    assert "Time: not known yet for this machine." in first
    assert "The run is finished: training took 100 s.\n" in first
    assert "by 1 run on this machine" in planned(recipe)
    assert json.loads(planned(recipe, "--json"))["happened"]["planned_s"] is None

    beside = {**recipe, "to": f"{recipe['to']}-beside"}
    took(customize.train(**beside).folder, 40.0)
    told = planned(beside)
    assert "training took 40 s, planned 100 s." in told
    assert "No plan was made before it" in told
    assert "training took 40 s, planned 100 s." in planned(beside)


def test_a_plan_of_another_recipe_is_not_the_run_s(recipe: Mapping[str, Any]) -> None:
    remember(plan(made(recipe)).machine, "another run", plan(made(recipe)).flops, 80.0)
    planned(recipe)
    planned(recipe, "options.epochs=50.0")
    took(customize.train(**recipe).folder, 100.0)
    assert "training took 100 s, planned 80 s." in planned(recipe)
    shutil.rmtree(recipe["to"])
    took(customize.train(**recipe).folder, 60.0)
    assert "No plan was made before it" in planned(recipe)


def test_what_a_run_held_beside_what_was_counted_is_in_the_next_plan(
    recipe: Mapping[str, Any],
) -> None:
    first = plan(made(recipe))
    assert first.held is None
    folder = customize.train(**recipe).folder
    assert folder is not None
    cost = folder.cost()
    assert cost is not None
    folder.keep_cost({**cost, "peak_bytes": 1.25 * first.num_bytes})
    happened = compared(first, folder)
    assert happened is not None
    assert happened.planned_bytes == first.num_bytes
    second = plan(made(recipe))
    assert second.memory == first.memory
    assert second.num_bytes == pytest.approx(1.25 * first.num_bytes)
    assert second.held is not None
    assert second.held == pytest.approx([1.25 * first.num_bytes / x for x in (1, 1.3, 0.7)])
    assert second.bytes_between == second.held[1:]
    # What is learnt next is what was counted, not what was already put right.
    compared(second, folder)
    assert plan(made(recipe)).num_bytes == pytest.approx(second.num_bytes)
    settings = [f"--set={key}={recipe[key]}" for key in ("model", "data", "to", "backend")]
    settings += ["--set=backend_options.dtype=float32", "--set=backend_options.threads=1"]
    told = CliRunner().invoke(command, settings, catch_exceptions=False).output
    assert "more, as runs on this machine have shown" in told


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("options.epochs=50.0", "options.epochs"),
        ("adapter.rank=4", "adapter.rank"),
        ("evaluate=false", "evaluate"),
        ("backend_options.token_budget=77", "backend_options.token_budget"),
    ],
)
def test_a_run_of_another_recipe_tells_nothing_of_this_one(
    recipe: Mapping[str, Any], setting: str, key: str
) -> None:
    run = customize.train(**recipe)
    machine = plan(made(recipe)).machine
    told = planned(recipe, setting)
    assert f"The finished run in {recipe['to']} is another one: it differs in {key}." in told
    assert "training took" not in told
    assert rate_of(machine) is None
    assert run.folder is not None
    assert not (run.folder.path / "plan.json").exists()
    assert "training took" in planned(recipe)
    rate = rate_of(machine)
    planned(recipe, setting)
    assert rate_of(machine) == rate is not None


def test_a_run_on_another_backend_or_processor_tells_nothing_of_this_one(
    recipe: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    customize.train(**recipe)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("customize.planning.happened.processor", lambda: "a faster one")
        assert "it differs in processor." in planned(recipe)
    pytest.importorskip("customize_torchrun")
    options = {"on": "cpu", "on_options": "{dtype: float32, threads: 1}"}
    told = planned({**recipe, "backend": "torchrun", "backend_options": options})
    assert "it differs in backend." in told


def test_a_run_of_more_processes_or_on_another_device_tells_nothing_of_this_one(
    recipe: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = pytest.importorskip("customize_torch.backend").CPU
    alone = plan(made(recipe))
    for machine in ({"processes": 4}, {"device": "another"}):
        with monkeypatch.context() as other:
            other.setattr(cpu, "machine", lambda self, found=machine: found)
            there = plan(made(recipe)).machine
            assert there != alone.machine
            remember(there, "a run there", alone.flops, 1.0)
    assert plan(made(recipe)).seconds is None
    customize.train(**recipe)
    with monkeypatch.context() as many:
        many.setattr(cpu, "machine", lambda self: {"processes": 4})
        assert "it differs in machine.processes." in planned(recipe)
    assert "training took" in planned(recipe)


def test_a_run_over_other_rows_tells_nothing_of_this_one(
    recipe: Mapping[str, Any], write_rows: Callable[[int], Path]
) -> None:
    customize.train(**recipe)
    write_rows(60)
    assert "it differs in data." in planned(recipe)
    write_rows(12)
    assert "training took" in planned(recipe)


def test_choices_left_to_the_backend_are_planned_as_the_run_made_them(
    recipe: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    auto = {**recipe, "backend_options": {}}
    monkeypatch.setattr("customize_torch.backend.fastest_dtype", lambda: "float32")
    customize.train(**auto)
    monkeypatch.setattr("customize_torch.backend.fastest_dtype", lambda: "bfloat16")
    assert "training took" in planned(auto)


@pytest.mark.parametrize("forgets", [True, False])
def test_what_a_process_held_before_does_not_count(
    recipe: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch, forgets: bool
) -> None:
    """Where the system does not let it be forgotten nothing is told of the run."""
    before = np.ones(600 << 17)  # 600 MB, far more than the tiny run takes
    del before
    held = peak_bytes()
    if not forgets:
        monkeypatch.setattr("customize.runs.stage.forget_peak", lambda: False)
    folder = customize.train(**recipe).folder
    assert folder is not None
    cost = folder.cost()
    assert cost is not None
    assert held is not None
    assert cost["seconds"] > 0
    if forgets:
        assert 0 < cost["peak_bytes"] < held
    else:
        assert cost["peak_bytes"] is None


def test_a_rate_is_the_median_and_its_spread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path))
    assert rate_of("mine") is None
    remember("mine", "a", 100.0, 10.0)
    assert rate_of("mine") == Rate(10.0, 7.0, 13.0, 1)
    for name, seconds in (("b", 5.0), ("c", 2.0), ("a", 20.0)):
        remember("mine", name, 100.0, seconds)
    found = rate_of("mine")
    assert found is not None
    assert (found.middle, found.runs) == (20.0, 3)
    assert (found.low, found.high) == pytest.approx((8.0, 44.0))
    assert rate_of("another") is None
