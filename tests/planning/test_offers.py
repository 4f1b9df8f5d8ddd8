"""What the work would take and cost elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from customize import (
    BackendError,
    BackendSpec,
    Full,
    LoRA,
    ModelShape,
    OptionError,
    plan,
)
from customize._processor import processor
from customize.cli.plan_command import command
from customize.planning.elsewhere import least_bytes
from customize.planning.offers import Offer, read_offers
from customize.planning.rates import evaluating_on, holding_on, machine_name, remember
from customize.runs import backends as choosing
from customize.testing import ToyBackend
from customize.training.recipe import Recipe
from customize.training.recipe_making import make_recipe

pytest.importorskip("customize_sft")
CPU = pytest.importorskip("customize_torch.backend").CPU


def made(recipe: Mapping[str, Any], **changed: Any) -> Recipe:
    return make_recipe({**recipe, **changed}, what="a test")


def test_offers_are_priced(recipe: Mapping[str, Any], tmp_path: Path) -> None:
    table = {"mine": Offer(hour=3.6, memory_gb=0.001, tflops=1e-6), "theirs": Offer(million=2.0)}
    found = plan(made(recipe), table)
    mine, theirs = found.offers
    assert mine.seconds == pytest.approx(found.flops / 1e6)
    assert mine.money == pytest.approx(found.flops / 1e6 * 0.001)
    assert (mine.fits, theirs.fits) == (False, None)
    assert theirs.money == pytest.approx(2e-6 * found.tokens)
    assert {"cloud-H100", "hosted-service"} <= set(read_offers(None))
    wrong = tmp_path / "offers.yaml"
    wrong.write_text("a: {hour: 1, tflops: 2}\nb: {milion: 2}\n")
    with pytest.raises(OptionError) as told:
        read_offers(wrong)
    assert "an offer is hour, memory_gb and tflops, or million" in str(told.value)
    assert "milion" in str(told.value)


EIGHT_BILLION = ModelShape(  # as Llama 3.1 has it
    {"q_proj": (4096, 4096)},
    num_parameters=8_030_261_248,
    num_layers=32,
    hidden=4096,
    intermediate=14336,
    vocabulary=128_256,
    attention_width=4096,
    key_value_width=1024,
)


def test_what_fits_elsewhere_is_counted_in_bf16() -> None:
    lora = LoRA(rank=16, targets=("q_proj",))
    held = least_bytes(EIGHT_BILLION, lora, 2048)
    weights, activations = 2 * 8.03e9, 2 * 2048 * (32 * 4096 + 4 * 4096 + 10240 + 3 * 14336)
    head, adapter = 8 * 256 * 128_256, 18 * EIGHT_BILLION.trainable(lora)
    assert held == pytest.approx(0.5e9 + weights + activations + head + adapter, rel=1e-3)
    assert 16e9 < held < 24e9
    assert least_bytes(EIGHT_BILLION, Full(), 2048) > 18 * 8.03e9


def test_answers_take_what_reading_the_weights_takes(
    recipe: Mapping[str, Any], tmp_path: Path
) -> None:
    """A token more of every row reads all weights once, however fast the device multiplies."""
    rows = tmp_path / "held-out.jsonl"
    row = {"prompt": "ask", "completion": "yes", "expect": {"includes": "y"}}
    rows.write_text(f"{json.dumps(row)}\n" * 5)
    asking = made(recipe, validation=str(rows), evaluate={"data": str(rows), "max_tokens": 7})
    slow, fast, unsaid = (
        Offer(hour=1.0, memory_gb=24, tflops=1e6, bandwidth_gb=bandwidth)
        for bandwidth in (1e-3, 1e3, None)
    )
    found = plan(asking, {"slow": slow, "fast": fast, "unsaid": unsaid})
    assert found.evaluation is not None
    columns = found.evaluation.answers // 5
    passes = 7 * columns  # the five rows of a column are drawn together
    assert found.evaluation.passes == passes
    seconds = {offer.name: offer.seconds for offer in found.offers}
    assert seconds["slow"] == pytest.approx(passes * 2 * found.num_parameters / 1e6, rel=1e-3)
    assert seconds["fast"] == pytest.approx(passes * 2 * found.num_parameters / 1e12, rel=1e-2)
    assert seconds["unsaid"] == pytest.approx((found.flops + found.evaluation.flops) / 1e18)
    assert all(one.bandwidth_gb for one in read_offers(None).values() if one.tflops)
    with pytest.raises(OptionError, match="has no hour, memory_gb, tflops or bandwidth_gb"):
        Offer(million=1.0, bandwidth_gb=3.0)


def test_nothing_of_this_machine_decides_what_fits_elsewhere(recipe: Mapping[str, Any]) -> None:
    """Not its form of numbers, and not what runs held here."""
    found = plan(made(recipe))
    shape = ModelShape.of_folder(Path(recipe["model"]))
    held = least_bytes(shape, LoRA(), found.stages[0].largest)
    table = {
        name: Offer(hour=1.0, memory_gb=gigabytes / 1e9, tflops=1.0)
        for name, gigabytes in {"enough": held + 1, "short": held - 1}.items()
    }
    remember(holding_on(found.machine), "a run", sum(found.memory.values()), 1e13)
    for dtype in ("float32", "bfloat16"):
        options = {**recipe["backend_options"], "dtype": dtype}
        offers = plan(made(recipe, backend_options=options), table).offers
        assert [offer.fits for offer in offers] == [True, False]


def test_an_hour_alone_is_this_machine_s_on_every_backend_at_hand(
    recipe: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"here": Offer(hour=3.6)}
    other = attrs.evolve(CPU(dtype="float32", threads=1), base="int8")
    monkeypatch.setattr("customize.planning.plan.others_at_hand", lambda chosen: [other])
    first = plan(made(recipe), table)
    assert first.offers == ()
    remember(first.machine, "a run", first.flops, 50.0)
    [here] = plan(made(recipe), table).offers
    assert (here.name, here.fits) == ("here, cpu", True)
    assert (here.seconds, here.money) == pytest.approx((50.0, 0.05))
    remember(machine_name("cpu", other.numerics(), processor()), "another", first.flops, 200.0)
    _, beside = plan(made(recipe), table).offers
    assert beside.seconds == pytest.approx(200.0)


def test_what_else_is_at_hand_is_what_auto_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    class Absent(ToyBackend):
        def probe(self) -> str | None:
            return "there is none"

    priorities = {"chosen": 9, "best": 100, "plain": 0, "by-name": -1, "absent": 5}
    found = {
        name: BackendSpec(name=name, target="a:B", summary="Some.", priority=priority)
        for name, priority in priorities.items()
    }
    asked: list[str] = []

    def load(kind: str, name: str) -> type[ToyBackend]:
        asked.append(name)
        return Absent if name == "absent" else ToyBackend

    monkeypatch.setattr(choosing, "specs", lambda kind: {**found, "torn": object()})
    monkeypatch.setattr(choosing, "load", load)
    assert len(choosing.others_at_hand("chosen")) == 2
    assert asked == ["best", "absent", "plain"]


def test_an_evaluation_that_was_never_timed_is_in_the_price_of_this_machine_too(
    recipe: Mapping[str, Any],
) -> None:
    rows = {"validation": recipe["data"]}
    table = {"here": Offer(hour=3.6), "other": Offer(hour=3.6, memory_gb=24, tflops=1e-6)}
    first = plan(made(recipe, **rows), table)
    assert first.evaluation is not None
    assert first.evaluation.flops > 0
    remember(first.machine, "a run", first.flops, first.flops / 1e6)
    here, other = plan(made(recipe, **rows), table).offers
    assert here.seconds == pytest.approx(other.seconds)
    remember(evaluating_on(first.machine), "a run", first.evaluation.flops, 500.0)
    here, _ = plan(made(recipe, **rows), table).offers
    assert here.seconds == pytest.approx(first.flops / 1e6 + 500)


def test_what_cannot_run_here_is_planned_for_the_offers(
    recipe: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"here": Offer(hour=3.6), "other": Offer(hour=3.6, memory_gb=24, tflops=1e-6)}
    at_hand = plan(made(recipe), table)
    monkeypatch.setattr(CPU, "probe", lambda self: f"none on a laptop{'; and why' * 9}")
    found = plan(made(recipe), table)
    assert str(found.absent).startswith("none on a laptop; and why")
    assert (found.memory, found.available, found.seconds) == ({}, None, None)
    assert found.flops == at_hand.flops
    assert found.offers == at_hand.offers
    assert [offer.name for offer in found.offers] == ["other"]
    settings = [f"--set={key}={recipe[key]}" for key in ("model", "data", "to", "backend")]
    told = CliRunner().invoke(command, settings, catch_exceptions=False).output
    assert "cpu cannot run here: none on a laptop; and why" in told
    assert "cloud-H100" in told
    assert "Memory: " not in told
    assert "Time: " not in told
    assert max(map(len, told.splitlines())) <= 80


def test_what_cannot_settle_here_is_planned_for_the_offers(
    recipe: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(self: Any, kept: Mapping[str, Any]) -> Any:
        raise BackendError("torch finds no device")

    monkeypatch.setattr(CPU, "settled", refusing)
    table = {"other": Offer(hour=3.6, memory_gb=24, tflops=1e-6)}
    found = plan(made(recipe), table)
    assert found.absent == "torch finds no device"
    assert len(found.offers) == 1


def test_processes_whose_device_is_not_here_are_planned_for_the_offers(
    recipe: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("customize_torchrun")
    cuda = pytest.importorskip("customize_cuda.backend").CUDA
    monkeypatch.setattr(cuda, "probe", lambda self: "there is none on a laptop")
    table = {"other": Offer(hour=3.6, memory_gb=24, tflops=1e-6)}
    found = plan(made(recipe, backend="torchrun", backend_options={"on": "cuda"}), table)
    assert found.absent == "the backend 'cuda' cannot run here: there is none on a laptop"
    assert found.offers == plan(made(recipe), table).offers


def test_what_a_backend_says_of_its_count_is_told(
    recipe: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CPU, "remarks", lambda self: ["one process is counted"])
    assert plan(made(recipe)).remarks == ("one process is counted",)
    settings = [f"--set={key}={recipe[key]}" for key in ("model", "data", "to", "backend")]
    told = CliRunner().invoke(command, settings, catch_exceptions=False).output
    assert "\n  one process is counted\n" in told
