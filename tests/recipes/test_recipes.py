"""Recipes: three ways in, one strict path, every fault at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import customize
from customize import CustomizeError, LoRA, OptionError, Recipe
from customize._options import options_of
from customize._structuring import NAMES_ELSEWHERE, unknown
from customize.plugins import load
from customize.training.recipe_file import read_recipe, recipe_from_settings
from customize.training.recipe_making import make_recipe

pytest.importorskip("customize_sft")

GOOD = "model: smollm2\ndata: rows.jsonl\nto: runs/x\noptions:\n  lr: 1e-4\n"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(GOOD)
    (tmp_path / "rows.jsonl").touch()
    return path


def test_the_three_ways_give_the_same_recipe(recipe: Path) -> None:
    rows = str(recipe.with_name("rows.jsonl"))
    values = {"model": "smollm2", "data": rows, "to": "runs/x", "options": {"lr": 1e-4}}
    settings = ["model=smollm2", f"data={rows}", "to=runs/x", "options.lr=1e-4"]
    assert make_recipe(values) == read_recipe(recipe) == recipe_from_settings(settings)


@pytest.mark.parametrize("text", ["1e-4", "1.0e-4", "0.0001", "1E-4"])
def test_numbers_are_numbers(recipe: Path, text: str) -> None:
    assert read_recipe(recipe, [f"options.lr={text}"]).options["lr"] == 1e-4


@pytest.mark.parametrize(
    "text",
    [
        "true_answers.jsonl",
        "False positives",
        "trueish",
        "2024.jsonl",
        "1.5b",
        "2.run",
        "1.2.3",
        "1e5x",
        ".5k",
        "1.0-beta",
        "-1.0/x",
        ".infinite",
        "2024-12-01",
        "2024-13-01",
    ],
)
@pytest.mark.parametrize("written", ["file", "setting"])
def test_text_that_only_begins_as_a_number_or_truth_value_is_text(
    recipe: Path, text: str, written: str
) -> None:
    recipe.write_text(GOOD.replace("runs/x", text if written == "file" else "runs/x"))
    assert read_recipe(recipe, [f"to={text}"] if written == "setting" else []).to == text


@pytest.mark.parametrize("text", ["0x_", "!!int one", "!!timestamp 2024-13-01"])
def test_a_number_or_date_that_there_is_not_is_told_with_its_place(recipe: Path, text: str) -> None:
    with pytest.raises(OptionError, match=f"--set to={text}: .*quotes"):
        read_recipe(recipe, [f"to={text}"])
    recipe.write_text(GOOD.replace("runs/x", text))
    with pytest.raises(OptionError, match=r"recipe\.yaml is not plain YAML: "):
        read_recipe(recipe)


def test_every_option_of_the_adapter_is_in_the_resolved_recipe(recipe: Path) -> None:
    whole = {"rank": 4, "alpha": 32.0, "targets": "all-linear", "rslora": False, "on": None}
    assert read_recipe(recipe, ["adapter.rank=4"]).adapter == whole


def test_every_option_of_the_method_is_in_the_resolved_recipe(recipe: Path) -> None:
    assert read_recipe(recipe).options["schedule"] == "cosine"


def test_all_faults_are_told_at_once_with_their_lines(recipe: Path) -> None:
    recipe.write_text(
        "modle: smollm2\ndata: 7\nto: runs/x\nseed: -1\noptions:\n  lr: fast\n  epoch: 3\n"
        "adapter:\n  rank: 0\n"
    )
    with pytest.raises(OptionError) as told:
        read_recipe(recipe)
    text = str(told.value)
    for line, fault in [
        (1, "did you mean 'model'"),
        (2, "data must be text (got 7)"),
        (4, "seed must be >= 0"),
        (6, "options.lr must be a number (got 'fast')"),
        (7, "did you mean 'options.epochs'"),
        (9, "adapter.rank must be >= 1"),
    ]:
        told_line = next(row for row in text.splitlines() if fault in row)
        assert f"recipe.yaml:{line}:" in told_line
    assert "model is missing" in text


def test_a_wrong_key_hides_no_fault_of_another_kind(recipe: Path) -> None:
    recipe.write_text(
        GOOD + "  kl_to_base: 0.5\n  zzz: 4\noptons: {}\nevaluate_every: 5\nobservers: [wandbb]\n"
    )
    with pytest.raises(OptionError) as told:
        read_recipe(recipe)
    for fault in (
        "did you mean 'options'",
        "unknown key 'options.zzz'",
        "kl_to_base is measured on replay rows: set replay too",
        "evaluate_every needs held-out rows",
        "no plugin provides the observer 'wandbb'",
    ):
        assert str(told.value).count(fault) == 1


def test_a_rule_between_options_waits_for_a_key_that_may_be_meant(recipe: Path) -> None:
    recipe.write_text(GOOD + "  kl_to_base: 0.5\n  repaly: 0.25\n")
    with pytest.raises(OptionError, match=r"did you mean 'options\.replay'\?$"):
        read_recipe(recipe)


def test_a_key_that_is_there_twice_is_told_with_all_other_faults(recipe: Path) -> None:
    recipe.write_text(GOOD + "to: runs/y\nseed: -1\nadapter: {rank: 0, rank: 0}\n")
    with pytest.raises(OptionError) as told:
        read_recipe(recipe)
    text = str(told.value)
    assert re.search(r":6: the key 'to' is there twice, see .*:3", text)
    assert re.search(r":8: the key 'adapter.rank' is there twice in this line", text)
    assert re.search(r":7: seed must be >= 0", text)
    assert re.search(r":8: adapter.rank must be >= 1", text)


def test_names_that_stand_for_nothing_are_told_at_once_with_their_lines(recipe: Path) -> None:
    recipe.write_text(
        "model: smolm2\ndata: rows.jsnl\nvalidation: dev.jsonl\nbackend: cpuu\nto: runs/x\n"
        "evaluate:\n  data: test.jsonl\nseed: -1\n"
    )
    with pytest.raises(OptionError) as told:
        read_recipe(recipe)
    for line, fault in [
        (1, "did you mean 'smollm2'"),
        (2, "there is no file rows.jsnl"),
        (3, "there is no file dev.jsonl"),
        (4, "did you mean 'cpu'"),
        (7, "there is no file test.jsonl"),
        (8, "seed must be >= 0"),
    ]:
        told_line = next(row for row in str(told.value).splitlines() if fault in row)
        assert f"recipe.yaml:{line}:" in told_line


@pytest.mark.parametrize("model", ["acme/any", "{here}/model", "customize-smollm2:smollm2"])
@pytest.mark.parametrize("data", ["acme/any:train[:10%]", "environment:any", "{here}"])
def test_names_that_may_stand_for_something_are_not_refused(
    recipe: Path, model: str, data: str
) -> None:
    (recipe.parent / "model").mkdir()
    (recipe.parent / "model" / "config.json").write_text("{}")
    here = str(recipe.parent)
    settings = [f"model={model.format(here=here)}", f"data={data.format(here=here)}"]
    assert read_recipe(recipe, settings).model == model.format(here=here)


def test_a_misspelled_key_of_train_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(OptionError) as told:
        customize.train(modle="smollm2", to=tmp_path / "run")  # type: ignore[call-arg]
    assert "unknown key 'modle': did you mean 'model'?" in str(told.value)
    assert "model is missing: A plugin's name, " in str(told.value)
    assert "to is missing" not in str(told.value)


def test_a_model_that_is_none_leaves_no_run_folder(tmp_path: Path) -> None:
    pytest.importorskip("customize_torch")
    for model in ("smolm2", f"{tmp_path}/none.gguf"):
        with pytest.raises(CustomizeError):
            customize.train(model=model, data=[], to=tmp_path / "run", backend="cpu")
        assert not (tmp_path / "run").exists()


def test_a_truth_value_is_no_number(recipe: Path) -> None:
    with pytest.raises(OptionError, match="seed must be a whole number"):
        read_recipe(recipe, ["seed=true"])


@pytest.mark.parametrize("key", ["options.lr", "adapter.alpha", "options.kl_to_base"])
@pytest.mark.parametrize("text", [".inf", "-.inf", ".nan"])
def test_a_number_that_is_not_finite_is_refused(recipe: Path, key: str, text: str) -> None:
    with pytest.raises(OptionError, match=rf"{re.escape(key)} must be a finite number \(got "):
        read_recipe(recipe, [f"{key}={text}", "options.replay=0.25"])
    with pytest.raises(OptionError, match=r"alpha must be a finite number \(got "):
        LoRA(alpha=float(text.replace(".", "")))


def test_an_unknown_method_is_named_with_those_there_are(recipe: Path) -> None:
    with pytest.raises(OptionError, match="did you mean 'sft'"):
        read_recipe(recipe, ["method=sftt"])


@pytest.mark.parametrize("key", ["keep_best=true", "patience=2", "evaluate_every=5"])
def test_measures_without_held_out_rows_are_refused(recipe: Path, key: str) -> None:
    with pytest.raises(OptionError, match="set validation"):
        read_recipe(recipe, [key])


def test_paths_are_relative_to_the_recipe(recipe: Path) -> None:
    rows = recipe.parent / "rows.jsonl"
    rows.write_text("{}\n")
    assert read_recipe(recipe).data == str(rows)


@pytest.mark.parametrize(
    "text",
    ["a: [", "model: !!python/object:os.system x", "? [a, b]\n: 2", f"a: {'[' * 5000}"],
    ids=["cut", "object", "key", "deep"],
)
def test_what_is_no_plain_yaml_is_refused(recipe: Path, text: str) -> None:
    recipe.write_text(text)
    with pytest.raises(OptionError, match=r"recipe\.yaml(:1)? is not plain YAML: ") as told:
        read_recipe(recipe)
    assert "unicode string" not in str(told.value)


def test_rows_given_as_a_recipe_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"rows\.jsonl holds rows, .*--data "):
        read_recipe(tmp_path / "rows.jsonl")


@pytest.mark.parametrize(
    ("key", "place"), [("lr", "options.lr"), ("rank", "adapter.rank"), ("epochs", "options.epochs")]
)
def test_a_key_that_stands_elsewhere_is_told_where(recipe: Path, key: str, place: str) -> None:
    fault = f"--set {key}=1: unknown key '{key}': did you mean '{place}'?"
    with pytest.raises(OptionError, match=re.escape(fault)):
        read_recipe(recipe, [f"{key}=1"])


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("options.learning_rate", "options.lr"),
        ("options.num_train_epochs", "options.epochs"),
        ("options.per_device_train_batch_size", "options.batch_size"),
        ("options.max_steps", "options.steps"),
        ("adapter.r", "adapter.rank"),
        ("adapter.lora_alpha", "adapter.alpha"),
        ("learning_rate", "options.lr"),
        ("lora_r", "adapter.rank"),
        ("save_steps", "checkpoint_every"),
    ],
)
def test_a_name_of_another_library_is_told_as_ours_and_not_taken(
    recipe: Path, key: str, meant: str
) -> None:
    fault = f"--set {key}=1: unknown key '{key}': did you mean '{meant}'?"
    with pytest.raises(OptionError, match=re.escape(fault)):
        read_recipe(recipe, [f"{key}=1"])


def test_a_name_of_another_library_is_told_only_where_there_is_such_an_option() -> None:
    assert "there are rank, alpha" in unknown("adapter.max_steps", "max_steps", ["rank", "alpha"])


def test_every_name_told_for_one_of_another_library_is_an_option() -> None:
    pytest.importorskip("customize_grpo")
    methods = [load("method", name) for name in ("sft", "grpo")]
    ours = {o.name for cls in (Recipe, LoRA, *methods) for o in options_of(cls)}
    assert set(NAMES_ELSEWHERE.values()) <= ours
    assert not NAMES_ELSEWHERE.keys() & ours


def test_a_key_that_is_there_twice_in_a_setting_is_refused(recipe: Path) -> None:
    setting = "adapter={rank: 4, rank: 8}"
    told = re.escape(f"--set {setting}: the key 'adapter.rank' is there twice")
    with pytest.raises(OptionError, match=told):
        read_recipe(recipe, [setting])
    with pytest.raises(OptionError, match=told):
        recipe_from_settings(["model=smollm2", setting])
    with pytest.raises(OptionError, match=r"the key 'stages\.1\.data' is there twice"):
        recipe_from_settings(["stages=[{data: a.jsonl, data: b.jsonl}]"])


@pytest.mark.parametrize("value", ["[1", "!!python/name:os.system", "a: b: c"])
def test_a_setting_that_is_no_plain_yaml_says_how_to_quote_it(recipe: Path, value: str) -> None:
    with pytest.raises(OptionError, match=f"--set to={re.escape(value)}: .*quotes"):
        read_recipe(recipe, [f"to={value}"])


@pytest.mark.parametrize(
    ("settings", "lr"),
    [
        ([], 2.5e-4),
        (["adapter=full"], 2.5e-5),
        (["adapter=full", "options.lr=5e-4"], 5e-4),
        (["adapter={here}/whole"], 2.5e-5),
        (["adapter={here}/lora"], 2.5e-4),
        (["adapter.on={here}/whole"], 2.5e-4),
    ],
)
def test_the_rate_by_default_is_a_tenth_where_all_weights_are_trained(
    recipe: Path, settings: list[str], lr: float
) -> None:
    recipe.write_text(GOOD.partition("options:")[0])
    for folder, name in (("whole", "model"), ("lora", "adapter_model")):
        (recipe.parent / folder).mkdir()
        (recipe.parent / folder / f"{name}.safetensors").touch()
    given = [setting.format(here=recipe.parent) for setting in settings]
    assert read_recipe(recipe, given).options["lr"] == lr


def test_each_stage_has_the_rate_of_what_it_trains(recipe: Path) -> None:
    stage = "data: rows.jsonl"
    recipe.write_text(
        "model: smollm2\nto: runs/x\nadapter: full\nstages:\n"
        f"  - {{{stage}, name: one}}\n  - {{{stage}, name: two}}\n"
        f"  - {{{stage}, name: three, adapter: {{rank: 4}}}}\n  - {{{stage}, name: four}}\n"
    )
    made = read_recipe(recipe)
    rates = [one.options["lr"] for one in (*made.before(), made)]
    assert rates == [2.5e-5, 2.5e-5, 2.5e-4, 2.5e-4]


def test_the_adapter_is_lora_or_full(recipe: Path) -> None:
    from customize import Full, LoRA

    assert read_recipe(recipe).adapter_chosen() == LoRA()
    assert read_recipe(recipe, ["adapter=full"]).adapter_chosen() == Full()
    assert read_recipe(recipe, ["adapter.rank=4"]).adapter_chosen() == LoRA(rank=4)
    with pytest.raises(OptionError, match="'full'"):
        read_recipe(recipe, ["adapter=half"])
