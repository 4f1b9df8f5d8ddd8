"""The model card of a run. Knows the run folder's files, and no model."""

from __future__ import annotations

from customize._files import replace_text
from customize.evaluation.evaluation import Evaluation
from customize.evaluation.remarks import broken, headline, remarks
from customize.runs.folder import RunFolder
from customize.training.recipe import Recipe


def write_card(folder: RunFolder, recipe: Recipe, evaluation: Evaluation | None) -> None:
    """README.md with what it was made from, how, how good it is, and what it depends on."""
    lineage = folder.lineage()
    settings = "\n".join(f"* {key}: {value}" for key, value in recipe.options.items())
    versions = ", ".join(f"{k} {v}" for k, v in lineage["versions"].items())
    numerics = [f"{key} {value}" for key, value in lineage["backend_options"].items()]
    text = f"""---
library_name: peft
tags: [customize, {recipe.method}]
---

# {folder.path.name}

A customization of `{recipe.model}` by {recipe.method}, on {recipe.data}.

## How it was made

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

It was not evaluated beyond what this folder holds. Facts belong into the prompt or into retrieval:
what a small model learnt of them by training it says with confidence, and often wrong.
"""
    replace_text(folder.path / "README.md", text)


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
