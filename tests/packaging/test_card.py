"""The card of a package, and its figures in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from customize import Manifest, ModelFolder, Recipe
from customize.cli.parity_text import parity_text
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
    """Of a run whose rows and base lie in folders of this machine."""
    recipe = Recipe(
        model=str(tmp_path / "models" / "base"),
        data=str(tmp_path / "rows.jsonl"),
        to=str(tmp_path / "pizza"),
        options={"questions": str(tmp_path / "questions.jsonl"), "lr": 1e-4},
        adapter={"rank": 8, "alpha": 16.0, "on": None},
    )
    folder = tmp_path / "pizza"
    folder.mkdir()
    lineage = {"model": "m", "data": "d", "backend": "cpu", "backend_options": {}, "versions": {}}
    (folder / "recipe.json").write_text(json.dumps(recipe.to_dict()))
    (folder / "lineage.json").write_text(json.dumps(lineage))
    base = ModelFolder(tmp_path / "models" / "base", "base", "f" * 64)
    return package_card(MANIFEST, "onnxruntime", RunFolder(folder), base, None)


def test_a_card_gives_no_folder_of_this_machine_away(card: str, tmp_path: Path) -> None:
    assert str(tmp_path) not in card
    assert "A customization of `base` by sft, on rows.jsonl." in card
    assert "* questions: questions.jsonl\n" in card


def test_a_card_says_what_was_trained_and_who_loads_it(card: str) -> None:
    assert card.startswith("---\nlibrary_name: onnxruntime\npipeline_tag:")
    assert "* adapter: rank 8, alpha 16.0\n" in card
    assert "* vLLM: `vllm serve BASE --lora-modules a=.`" in card
    assert "`BASE` is the folder of the base model, smollm2." in card


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


def test_the_commands_have_both_folders() -> None:
    assert MANIFEST.commands("dist/a", "models/b")["vLLM"] == (
        "vllm serve models/b --lora-modules a=dist/a"
    )
