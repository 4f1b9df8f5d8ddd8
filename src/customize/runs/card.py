"""The model card, of a run and of a package. Knows their files' facts, and no model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from customize._files import replace_text
from customize.evaluation.evaluation import Evaluation
from customize.evaluation.remarks import broken, headline, remarks
from customize.interfaces.model import ModelFolder
from customize.packaging.manifest import Manifest
from customize.runs.folder import RunFolder
from customize.training.recipe import Recipe

_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_LIMITS = """It was not evaluated beyond what is said here. Facts belong into the prompt or into
retrieval: what a small model learnt of them by training it says with confidence, and often wrong.
"""


def write_card(folder: RunFolder, recipe: Recipe, evaluation: Evaluation | None) -> None:
    """README.md with what it was made from, how, how good it is, and what it depends on."""
    front = {"library_name": "peft", "tags": ["customize", recipe.method]}
    replace_text(folder.path / "README.md", _card(front, folder, recipe, evaluation, ""))


def package_card(
    manifest: Manifest, folder: RunFolder, model: ModelFolder, evaluation: Evaluation | None
) -> str:
    """The same for a package, with how it was proven and how it is run."""
    recipe = folder.recipe()
    front = {
        **_base_and_licence(manifest, model),
        "pipeline_tag": "text-generation",
        "tags": ["customize", recipe.method],
    }
    return _card(front, folder, recipe, evaluation, _packaged(manifest))


def _card(
    front: Mapping[str, Any],
    folder: RunFolder,
    recipe: Recipe,
    evaluation: Evaluation | None,
    packaged: str,
) -> str:
    import yaml

    lineage = folder.lineage()
    settings = "\n".join(f"* {key}: {value}" for key, value in recipe.options.items())
    versions = ", ".join(f"{k} {v}" for k, v in lineage["versions"].items())
    numerics = [f"{key} {value}" for key, value in lineage["backend_options"].items()]
    return f"""---
{yaml.safe_dump(dict(front), sort_keys=False).strip()}
---

# {folder.path.resolve().name}

A customization of `{recipe.model}` by {recipe.method}, on {recipe.data}.

{packaged}## How it was made

{settings}
* seed: {recipe.seed}
* backend: {", ".join((lineage["backend"], *numerics))}

## What it was made from

* base model: sha256 {lineage["model"]}
* data: sha256 {lineage["data"]}
* {versions}

## Evaluation

{_evaluated(evaluation)}

## Limits

{_LIMITS}"""


def _base_and_licence(manifest: Manifest, model: ModelFolder) -> dict[str, str]:
    """As the hub reads them; a base that is not of the hub has no name there."""
    relation = "merge" if manifest.is_adapter else "finetune"
    if manifest.needs_base:
        relation = "adapter"
    elif manifest.precision not in ("float32", "float16", "bfloat16"):
        relation = "quantized"
    found = {"library_name": "peft" if manifest.needs_base else "transformers"}
    if model.revision is not None:
        found |= {"base_model": model.name, "base_model_relation": relation}
    licence = _licence(model.path)
    return found if licence is None else {**found, "license": licence}


def _licence(model: Path) -> str | None:
    """What the base's own card says."""
    import yaml

    card = model / "README.md"
    front = _FRONT.match(card.read_text("utf-8", errors="replace")) if card.is_file() else None
    try:
        told = yaml.safe_load(front.group(1)) if front else None
    except yaml.YAMLError:
        return None
    licence = told.get("license") if isinstance(told, dict) else None
    return licence if isinstance(licence, str) else None


def _packaged(manifest: Manifest) -> str:
    parity = manifest.parity
    figures = "\n".join(
        f"* {name}: {value:.3g}" for name, value in parity["figures"].items() if value is not None
    )
    fault = parity["fault"]
    failed = (
        ""
        if fault is None
        else "\n**It answers otherwise than the run, and was kept all the same**: prompt "
        f"{fault['prompt']!r}: {fault['told']}.\n"
    )
    task = parity["task"]
    told = "" if task is None else f"* the task: {task['verdict']}: {task['told']}\n"
    run = "\n".join(
        f"* {who}: `{how.format(folder='.')}`" for who, how in manifest.how_to_run.items()
    )
    return f"""## How to run it

{run}

## How it was proven

Format {manifest.format}, weights in {manifest.precision}. It was loaded in a fresh process and
compared with the run; divergences in nats a token:
{failed}
{figures}
{told}
"""


def _evaluated(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return "It was not evaluated yet."
    gates = [f"* {gate.verdict}: `{gate.gate}`: {gate.told}" for gate in evaluation.gates]
    general = (
        [
            f"* general ability, against the base: {evaluation.general_verdict()}",
            *(f"* {line}" for line in broken(evaluation.general)),
        ]
        if evaluation.general and evaluation.rival
        else []
    )
    told = [f"* {line}" for line in remarks(evaluation)]
    lines = [*gates, *general, *told]
    return "\n".join([headline(evaluation), *([""] if lines else []), *lines])
