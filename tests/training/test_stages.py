"""Runs of several stages: each begins where the one before ended, killed anywhere or not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import customize
from customize import Batch, OptionError, Run, RunBusy, RunError, Session
from customize.testing import ToyBackend
from customize.training.lock import held
from customize.training.loop import Loop
from customize.training.recipe import Recipe
from customize.training.recipe_file import read_recipe
from customize.training.recipe_making import make_recipe

pytest.importorskip("customize_sft")
pytest.importorskip("customize_dpo")

ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"question {i}"},
            {"role": "assistant", "content": "yes " * (1 + i % 3)},
        ]
    }
    for i in range(6)
]
PAIRS = [
    {"prompt": f"question {i}", "chosen": "yes " * (1 + i % 2), "rejected": "no"} for i in range(5)
]
SFT: dict[str, Any] = {"data": ROWS, "options": {"epochs": 2, "batch_size": 3, "lr": 0.05}}
DPO: dict[str, Any] = {
    "data": PAIRS,
    "method": "dpo",
    "options": {"epochs": 2, "batch_size": 2, "lr": 0.02},
    "validation": PAIRS[:2],
    "evaluate_every": 2,
}
STEPS = {"1-sft": 4, "dpo": 5}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))


def train(to: Path, stages: Any = (SFT, DPO), **settings: Any) -> Run:
    merged: dict[str, Any] = {"checkpoint_every": 1, "seed": 3, **settings}
    merged = {"backend": ToyBackend(), **merged}
    return customize.train(model="toy", to=to, stages=stages, **merged)


def outcome(folder: Path) -> list[bytes]:
    names = ["adapter/adapter_model.safetensors", "metrics.jsonl"]
    return [(f / n).read_bytes() for f in (folder / "stages" / "1-sft", folder) for n in names]


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A run that nobody disturbed."""
    train(tmp_path / "whole")
    return tmp_path / "whole"


def interrupt_after(nth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C at the nth step of all stages together."""
    log = Loop._log
    logged = []

    def logging(self: Loop, number: int, metrics: Any) -> None:
        log(self, number, metrics)
        logged.append(number)
        if len(logged) == nth:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Loop, "_log", logging)


def said_of(snapshot: customize.Snapshot) -> float:
    """Log-probability of all answers of the pairs."""
    total = 0.0
    for row in PAIRS:
        for side in ("chosen", "rejected"):
            messages = [
                {"role": "user", "content": row["prompt"]},
                {"role": "assistant", "content": row[side]},
            ]
            rendered = snapshot.renderer.render(messages)
            batch = Batch.from_sequences([(rendered.tokens, {"weights": rendered.weights})])
            total += float(snapshot.forward(batch).result().sum(dtype=np.float64))
    return total


def references(folder: Path) -> set[float]:
    """What each checkpoint of the last stage keeps of the reference, summed."""
    from customize.training.state import read_step

    steps = [read_step(checkpoint) for checkpoint in (folder / "checkpoints").glob("step-*")]
    return {float(s.state["reference_logprobs"].sum(dtype=np.float64)) for s in steps}


def test_the_second_stage_begins_where_the_first_ended(whole: Path) -> None:
    run = customize.open(whole, backend=ToyBackend())
    first = customize.open(whole / "stages" / "1-sft", backend=ToyBackend())
    assert len(first.metrics) == STEPS["1-sft"]
    assert len(run.metrics) == STEPS["dpo"]
    assert run.metrics[0]["loss"] == pytest.approx(np.log(2), rel=1e-6)
    assert run.metrics[0]["margin"] == pytest.approx(0, abs=1e-6)
    assert said_of(run.customized) != pytest.approx(said_of(first.customized), rel=1e-3)


def test_the_reference_is_the_sft_model_and_not_the_base(whole: Path) -> None:
    first = customize.open(whole / "stages" / "1-sft", backend=ToyBackend())
    (reference,) = references(whole)
    assert reference == pytest.approx(said_of(first.customized), rel=1e-6)
    assert reference != pytest.approx(said_of(first.base), rel=1e-2)


def test_what_the_reference_said_is_kept_in_the_folder_and_a_change_of_it_is_seen(
    whole: Path,
) -> None:
    from customize.training import sealed

    *_, checkpoint = sorted((whole / "checkpoints").glob("step-*"))
    assert sealed.damage(checkpoint) is None
    file = checkpoint / "step.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert sealed.damage(checkpoint) == "step.safetensors was changed"


def test_stages_are_what_two_runs_one_after_the_other_are(whole: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"model": "toy", "backend": ToyBackend(), "seed": 3}
    customize.train(to=tmp_path / "sft", **SFT, **settings)
    customize.train(to=tmp_path / "dpo", adapter=str(tmp_path / "sft"), **DPO, **settings)
    apart = [
        (tmp_path / name / "adapter" / "adapter_model.safetensors").read_bytes()
        for name in ("sft", "dpo")
    ]
    assert apart == outcome(whole)[::2]


@pytest.mark.parametrize("nth", range(1, sum(STEPS.values()) + 1))
def test_stopped_at_any_step_of_any_stage_it_is_bit_equal(
    whole: Path, tmp_path: Path, nth: int
) -> None:
    folder = tmp_path / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        interrupt_after(nth, patch)
        with pytest.raises(KeyboardInterrupt):
            train(folder)
    train(folder)
    assert outcome(folder) == outcome(whole)
    assert references(folder) == references(whole)


STACKED = (SFT, {**DPO, "adapter": {"rank": 4}})


def test_a_stage_with_an_adapter_of_its_own_stands_on_the_one_before(
    whole: Path, tmp_path: Path
) -> None:
    run = train(tmp_path / "stacked", STACKED)
    first = customize.open(tmp_path / "stacked" / "stages" / "1-sft", backend=ToyBackend())
    (reference,) = references(tmp_path / "stacked")
    assert reference == pytest.approx(said_of(first.customized), rel=1e-6)
    assert run.metrics[0]["loss"] == pytest.approx(np.log(2), rel=1e-6)
    assert said_of(run.customized) != pytest.approx(said_of(first.customized), rel=1e-3)
    assert run.folder is not None
    assert run.folder.recipe().stages[1]["adapter"]["rank"] == 4
    # The toy's adapters have no rank: what is learnt is what continuing gives.
    assert said_of(run.customized) == pytest.approx(
        said_of(customize.open(whole, backend=ToyBackend()).customized), rel=1e-6
    )


@pytest.mark.parametrize("nth", range(1, sum(STEPS.values()) + 1))
def test_a_stacked_adapter_stopped_at_any_step_is_bit_equal(tmp_path: Path, nth: int) -> None:
    train(tmp_path / "whole", STACKED)
    with pytest.MonkeyPatch.context() as patch:
        interrupt_after(nth, patch)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "stopped", STACKED)
    train(tmp_path / "stopped", STACKED)
    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "whole")


def test_an_adapter_on_a_finished_run_is_what_two_stages_are(tmp_path: Path) -> None:
    train(tmp_path / "stages", STACKED)
    settings: dict[str, Any] = {"model": "toy", "backend": ToyBackend(), "seed": 3}
    customize.train(to=tmp_path / "sft", **SFT, **settings)
    on = {"rank": 4, "on": str(tmp_path / "sft")}
    run = customize.train(to=tmp_path / "dpo", adapter=on, **DPO, **settings)
    adapter = "adapter/adapter_model.safetensors"
    found, wanted = ((tmp_path / n / adapter).read_bytes() for n in ("dpo", "stages"))
    assert found == wanted
    assert run.folder is not None
    assert run.folder.lineage()["adapter"]


def test_stacking_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(customize.Unsupported, match="needs stack, which the backend 'toy'"):
        train(tmp_path / "run", STACKED, backend=ToyBackend(without={"stack"}))
    assert not (tmp_path / "run").exists()


class Died(BaseException):
    """As a kill: no handler of ours stops it."""


@pytest.mark.parametrize("nth", range(1, 12))
def test_killed_at_any_file_of_either_folder_it_is_bit_equal(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """Dead before the nth of the files that mark a folder; there are nine of them."""
    from customize.runs.folder import RunFolder

    write = RunFolder._write
    written = []

    def dying(self: RunFolder, name: str, value: Any) -> None:
        written.append(name)
        if len(written) == nth:
            raise Died
        write(self, name, value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "_write", dying)
        if nth <= 9:
            with pytest.raises(Died):
                train(tmp_path / "died")
        else:
            train(tmp_path / "died")
            assert len(written) == 9
    train(tmp_path / "died")
    assert outcome(tmp_path / "died") == outcome(whole)


def test_killed_at_random_moments_it_is_bit_equal(tmp_path: Path) -> None:
    script = Path(__file__).with_name("kill_resume.py")
    command = [sys.executable, str(script), str(tmp_path), "4", "stages"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "4 kills landed" in done.stdout


def test_a_bad_pair_is_refused_before_the_first_stage_is_trained(tmp_path: Path) -> None:
    bad = {**DPO, "data": [*PAIRS, {"prompt": "q", "chosen": "a", "rejected": "a"}]}
    with pytest.raises(customize.DataError, match="line 6: no preference"):
        train(tmp_path / "run", [SFT, bad])
    assert not (tmp_path / "run" / "stages").exists()


def test_a_finished_run_is_left_alone_and_another_recipe_is_refused(whole: Path) -> None:
    before = outcome(whole)
    train(whole)
    assert outcome(whole) == before
    other = {**SFT, "options": {**SFT["options"], "lr": 0.01}}
    with pytest.raises(RunError, match=r"stages\.1\.options\.lr: 0\.05 there, 0\.01 now"):
        train(whole, [other, DPO])
    with pytest.raises(RunError, match="stages: "):
        train(whole, [{**SFT, "data": ROWS[::-1]}, DPO])


def test_a_second_process_is_refused_whichever_stage_is_at_work(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(RunBusy, match=str(os.getpid())):
        train(tmp_path)


def test_show_tells_both_stages(whole: Path) -> None:
    from click.testing import CliRunner

    from customize.cli.group import cli

    shown = json.loads(CliRunner().invoke(cli, ["show", "--json", str(whole)]).output)
    states = shown["state_of_stages"]
    assert {name: state["steps"] for name, state in states.items()} == {"1-sft": 4, "2-dpo": 5}
    assert all(state["finished"] for state in states.values())
    assert [stage["method"] for stage in shown["stages"]] == ["sft", "dpo"]


def test_a_method_may_be_an_instance_and_two_of_a_kind_need_names(tmp_path: Path) -> None:
    from customize_sft import method

    first = {"data": ROWS, "method": method.SFT(steps=1, batch_size=2)}
    second = {**first, "name": "again"}
    run = train(tmp_path / "run", [first, second, DPO])
    assert run.folder is not None
    assert [before.path.name for before in run.folder.before] == ["1-sft", "2-again"]
    assert run.folder.recipe().stages[1]["options"]["steps"] == 1
    with pytest.raises(OptionError, match=r"two stages are named 'sft'"):
        train(tmp_path / "other", [first, first])


def test_a_function_of_a_stage_is_told_by_its_source(tmp_path: Path) -> None:
    pytest.importorskip("torch")

    def own(policy: Any, reference: Any) -> Any:
        return reference[:, 0] - policy[:, 0]

    stages = [SFT, {**DPO, "options": {"loss": own, "steps": 2}}]
    run = train(tmp_path / "run", stages)
    assert run.folder is not None
    assert run.folder.recipe().options["loss"].startswith("test_a_function_of_a_stage")
    train(tmp_path / "run", stages)


RECIPE = """\
model: acme/toy
to: runs/x
stages:
  - data: rows.jsonl
    options: {lr: 1e-3}
  - method: dpo
    data: pairs.jsonl
    options:
      beta: 0.2
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    for name in ("rows.jsonl", "pairs.jsonl"):
        (tmp_path / name).touch()
    return path


def test_a_recipe_has_stages_with_all_their_options(recipe: Path) -> None:
    made = read_recipe(recipe, ["stages.1.options.epochs=2", "seed=5"])
    (first,) = made.before()
    assert (first.method, first.options["lr"], first.options["epochs"]) == ("sft", 1e-3, 2.0)
    assert (made.method, made.options["beta"], made.seed, first.seed) == ("dpo", 0.2, 5, 5)
    assert made.data == str(recipe.parent / "pairs.jsonl")
    assert first.to == str(Path("runs/x/stages/1-sft"))
    assert Recipe(**json.loads(json.dumps(made.to_dict()))).before()[0] == first


def test_all_faults_of_all_stages_are_told_at_once_with_their_lines(recipe: Path) -> None:
    recipe.write_text(
        "model: acme/toy\nto: runs/x\nseed: -1\ndata: rows.jsonl\nstages:\n"
        "  - data: rows.jsonl\n    options:\n      lr: fast\n"
        "  - method: dpo\n    dta: pairs.jsonl\n    keep_best: true\n"
        "    options:\n      betta: 1\n"
    )
    with pytest.raises(OptionError) as told:
        read_recipe(recipe)
    for line, fault in [
        (3, "seed must be >= 0"),
        (4, "data belongs to a stage"),
        (8, "stages.1.options.lr must be a number"),
        (10, "unknown key 'stages.2.dta': did you mean 'stages.2.data'?"),
        (13, "did you mean 'stages.2.options.beta'"),
    ]:
        told_line = next(row for row in str(told.value).splitlines() if fault in row)
        assert f"recipe.yaml:{line}:" in told_line
    assert "stages.2.data is missing" in str(told.value)
    assert str(told.value).count("seed must be") == 1


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        ([], "must be a list of stages"),
        ({"data": "x"}, "must be a list of stages"),
        (["x"], "a stage holds keys and values"),
        ([{"data": "x", "name": "../x"}], "lower case letters, digits and dashes"),
        ([{"data": "x", "seed": 1}], "unknown key 'stages.1.seed'"),
        ([{"data": "x", "patience": 2}], "stages.1.patience needs held-out rows"),
        ([{"data": "x", "adapter": {}}], "stages.1.adapter has nothing below it"),
        ([{"data": "x"}, {"data": "x", "adapter": "full"}], "stages.2.adapter must be LoRA's"),
        ([{"data": "x"}, {"data": "x", "adapter": {"on": "x"}}], "but on, which is the stage"),
        (
            [{"data": "x"}, {"data": "x", "adapter": {"rnk": 1}}],
            "did you mean 'stages.2.adapter.rank'",
        ),
    ],
)
def test_what_is_no_list_of_stages_is_refused(stages: Any, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        make_recipe({"model": "toy", "to": "x", "stages": stages})


@pytest.mark.parametrize("setting", ["stages.3.options.lr=1", "stages.dpo.data=x", "stages.1=x"])
def test_a_setting_of_no_stage_is_refused(recipe: Path, setting: str) -> None:
    with pytest.raises(OptionError, match=r"numbered 1 to 2|say what is set of it"):
        read_recipe(recipe, [setting])


def test_going_on_from_a_folder_without_an_adapter_is_refused(tmp_path: Path) -> None:
    for adapter in (str(tmp_path), {"on": str(tmp_path)}):
        with pytest.raises(OptionError, match="there is no adapter in"):
            make_recipe({"model": "toy", "to": "x", "data": "y", "adapter": adapter})


def test_the_adapter_below_is_looked_up_beside_the_recipe(whole: Path) -> None:
    recipe = whole.parent / "on.yaml"
    (recipe.parent / "rows.jsonl").touch()
    recipe.write_text("model: acme/toy\ndata: rows.jsonl\nto: x\nadapter: {rank: 4, on: whole}\n")
    adapter = read_recipe(recipe).adapter_chosen()
    assert adapter == customize.LoRA(rank=4, on=str(whole / "adapter"))


def test_a_run_that_goes_on_from_a_changed_adapter_is_refused(whole: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"model": "toy", "backend": ToyBackend(), "to": tmp_path / "more"}
    customize.train(adapter=str(whole), **SFT, **settings)
    session: Session = ToyBackend().load(None).open(customize.LoRA())
    session.save_weights(whole / "adapter")
    with pytest.raises(RunError, match="adapter: "):
        customize.train(adapter=str(whole), **SFT, **settings)


LONG = {**PAIRS[0], "rejected": "no" * 40}


@pytest.mark.parametrize("given", [{"data": [*PAIRS, LONG]}, {"validation": [*PAIRS, LONG]}])
def test_pairs_of_a_later_stage_are_refused_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    stage = {**DPO, "options": {**DPO["options"], "max_length": 40}}
    log, logged = Loop._log, []

    def logging(self: Loop, number: int, metrics: Any) -> None:
        log(self, number, metrics)
        logged.append(number)

    monkeypatch.setattr(Loop, "_log", logging)
    with pytest.raises(customize.DataError, match=r"line 6: rejected has .* than max_length 40"):
        train(tmp_path / "run", [SFT, {**stage, **given}])
    assert not logged
    train(tmp_path / "run", [SFT, stage])  # the folder is free for the corrected pairs
    assert logged


def test_a_loss_of_a_later_stage_that_is_not_there_is_told_before_the_first_step(
    tmp_path: Path,
) -> None:
    stage = {**DPO, "options": {**DPO["options"], "loss": "customize:nothing"}}
    with pytest.raises(OptionError, match="'customize:nothing' cannot be imported"):
        train(tmp_path / "run", [SFT, stage])
    assert not (tmp_path / "run" / "stages").exists()
