"""The card of a package, and its figures in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml
from saying import asked, compared

from customize import Evaluation, Manifest, ModelFolder, Recipe
from customize.cli.parity_text import parity_text
from customize.packaging.figures import doubts
from customize.runs.card import package_card
from customize.runs.folder import RunFolder

PARITY: dict[str, Any] = {
    "verdict": "passed",
    "fault": None,
    "precision": "float16",
    "figures": {"prompts": 27.0, "kl": 1.25e-9, "top1": 1.0, "of_its_own": 0.5},
    "measured": {"package_bytes": 271_400_000.0},
    "task": None,
}
MANIFEST = Manifest(
    format="acme:acme",
    precision="float16",
    name="pizza",
    needs_base=False,
    base={"name": "smollm2", "fingerprint": "f" * 64, "revision": None},
    weights="w",
    is_adapter=True,
    stop_tokens=(2,),
    options={},
    parity=PARITY,
    how_to_run={"acme": "acme {folder}", "vLLM": "vllm serve {base} --lora-modules a={folder}"},
    run={},
    files={},
)


@pytest.fixture
def card(tmp_path: Path) -> str:
    return card_of(tmp_path)


def card_of(
    tmp_path: Path,
    manifest: Manifest = MANIFEST,
    revision: str | None = None,
    evaluation: Evaluation | None = None,
    further: dict[str, Any] | None = None,
    **settings: Any,
) -> str:
    """Of a run whose rows and base lie in folders of this machine; ``further`` is of its lineage,
    and ``settings`` of its recipe.
    """
    recipe = Recipe(
        model=str(tmp_path / "models" / "base"),
        data=str(tmp_path / "rows.jsonl"),
        to=str(tmp_path / "pizza"),
        options={"questions": str(tmp_path / "questions.jsonl"), "lr": 1e-4},
        adapter={"rank": 8, "alpha": 16.0, "on": None},
        **settings,
    )
    folder = tmp_path / "pizza"
    folder.mkdir()
    lineage = {
        **{"model": "m", "data": "d", "backend": "cpu"},
        **{"backend_options": {}, "versions": {"torch": "2.12"}},
        **(further or {}),
    }
    (folder / "recipe.json").write_text(json.dumps(recipe.to_dict()))
    (folder / "lineage.json").write_text(json.dumps(lineage))
    base = ModelFolder(tmp_path / "models" / "base", "acme/base", "f" * 64, revision)
    return package_card(manifest, "onnxruntime", RunFolder(folder), base, evaluation)


def test_a_card_gives_no_folder_of_this_machine_away(card: str, tmp_path: Path) -> None:
    assert str(tmp_path) not in card
    assert "A customization of `base` by sft, on rows.jsonl." in card
    assert "* questions: questions.jsonl\n" in card


def test_a_card_says_what_was_trained_and_who_loads_it(card: str) -> None:
    assert card.startswith("---\nlibrary_name: onnxruntime\npipeline_tag:")
    assert "* adapter: rank 8, alpha 16.0\n" in card
    assert "* vLLM: `vllm serve BASE --lora-modules a=.`" in card
    assert "`BASE` is the folder of the base model, smollm2." in card


def test_a_card_says_what_went_in_by_hash_and_with_which_versions(card: str) -> None:
    made_from = card.partition("## What it was made from\n")[2]
    for line in ("* base model: sha256 m\n", "* data: sha256 d\n", "* torch 2.12\n"):
        assert line in made_from
    assert "* lr: 0.0001\n" in card
    assert "* seed: 0\n" in card
    assert "It was not evaluated yet." in card
    assert "## Limits\n\nIt was not evaluated beyond what is said here." in card


def test_a_card_of_stages_says_what_each_of_them_learnt_from(tmp_path: Path) -> None:
    own = {
        **{"name": "sft", "data": str(tmp_path / "said.jsonl"), "method": "sft"},
        **{"options": {"lr": 2e-4}, "validation": None},
        **{"evaluate_every": 0, "keep_best": False, "patience": 0},
    }
    card = card_of(
        tmp_path,
        method="dpo",
        stages=(own, {**own, "name": "dpo"}),
        further={"adapter": "a", "stages": ["s"], "validation": "v"},
    )
    assert "A customization of `base` by sft, on said.jsonl, then by dpo, on rows.jsonl." in card
    assert "* stage 1, sft, lr: 0.0002\n" in card
    assert "* stage 2, dpo, lr: 0.0001\n" in card
    for what, sha in {
        "adapter that was gone on from": "a",
        "data of stage 1": "s",
        "data of stage 2": "d",
        "held-out rows": "v",
    }.items():
        assert f"* {what}: sha256 {sha}\n" in card
    assert yaml.safe_load(card.split("---\n")[1])["tags"] == ["customize", "sft", "dpo"]


@pytest.mark.parametrize(
    ("changed", "relation"),
    [
        ({"needs_base": True, "holds_adapter": True}, "adapter"),
        ({"holds_adapter": True}, "adapter"),
        ({"holds_adapter": True, "precision": "int8"}, "adapter"),
        ({"holds_adapter": False}, "finetune"),
        ({"holds_adapter": False, "precision": "int8"}, "quantized"),
        ({"holds_adapter": False, "is_adapter": False}, "finetune"),
        ({"holds_adapter": False, "is_adapter": False, "precision": "q8_0"}, "quantized"),
        ({"needs_base": True}, "adapter"),  # of before that was written down
        ({"options": {"merged": True}}, "finetune"),
    ],
    ids=str,
)
def test_the_hub_is_told_what_it_is_of_which_base(
    changed: dict[str, Any], relation: str, tmp_path: Path
) -> None:
    (tmp_path / "models" / "base").mkdir(parents=True)
    (tmp_path / "models" / "base" / "README.md").write_text("---\nlicense: mit\n---\n# Base\n")
    card = card_of(tmp_path, attrs.evolve(MANIFEST, **changed), revision="abc")
    front = yaml.safe_load(card.split("---\n")[1])
    assert front == {
        "library_name": "onnxruntime",
        "base_model": "acme/base",
        "base_model_relation": relation,
        "license": "mit",
        "pipeline_tag": "text-generation",
        "tags": ["customize", "sft"],
    }


def test_a_card_has_the_evaluation_with_its_interval_and_what_is_wrong_with_it(
    tmp_path: Path,
) -> None:
    training = [{"messages": [{"role": "user", "content": "Question 2"}]}]
    evaluation = compared([asked(n) for n in range(12)], training=training)
    told = card_of(tmp_path, evaluation=evaluation).partition("## Evaluation\n\n")[2]
    assert told.startswith("Customized is better than the base on 12 rows: 100 [")
    assert "* 1 of 12 rows share something with training" in told


def test_figures_have_words_and_units(card: str) -> None:
    told = "divergence from the run (KL), on average: 1.25e-09 nats a token"
    assert f"* {told}\n" in card
    lines = parity_text(PARITY).splitlines()
    assert lines == [
        "Parity: passed, for weights in float16",
        "  prompts asked: 27",
        f"  {told}",
        "  tokens where the likeliest is the run's: 100 %",
        "  of_its_own: 0.5",
        "  size of the package: 271.4 MB",
    ]


def test_what_a_runtime_makes_by_its_own_means_is_told(tmp_path: Path) -> None:
    parity = {**PARITY, "own": {"prompts": "none of its own", "stop_tokens": "equal"}}
    lines = [
        "prompts by the runtime's own tokenizer and template: none of its own",
        "stop tokens by the runtime's own files: equal",
    ]
    card = card_of(tmp_path, attrs.evolve(MANIFEST, parity=parity))
    for line in lines:
        assert f"* {line}\n" in card
        assert f"  {line}" in parity_text(parity).splitlines()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"figures": {"answers_that_end": 0.0}}, "that the package stops where the run does was"),
        ({"task": {"verdict": "inconclusive", "told": "few"}}, "by the run was not shown: inconc"),
        ({"task": {"verdict": "not asked", "told": "none"}}, "by the run was not shown: not asked"),
    ],
)
def test_what_a_proof_does_not_show_is_said(
    tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    passed = {"figures": {"answers_that_end": 3.0}, "task": {"verdict": "pass", "told": "as well"}}
    assert not [*doubts({**PARITY, **passed})]
    parity = {**PARITY, **passed, **changed}
    [doubt] = doubts(parity)
    assert told in doubt
    assert f"* **not shown**: {doubt}\n" in card_of(tmp_path, attrs.evolve(MANIFEST, parity=parity))


def test_a_name_with_braces_is_a_name() -> None:
    named = attrs.evolve(MANIFEST, how_to_run={"acme": "acme {a} {folder}"})
    assert named.commands("dist/a", "models/b") == {"acme": "acme {a} dist/a"}


def test_the_commands_have_both_folders() -> None:
    assert MANIFEST.commands("dist/a", "models/b")["vLLM"] == (
        "vllm serve models/b --lora-modules a=dist/a"
    )
