"""The model card, of a run and of a package. Knows their files' facts, and no model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from customize._files import replace_text
from customize.evaluation.evaluation import Evaluation
from customize.evaluation.remarks import broken, headline, remarks
from customize.interfaces.model import ModelFolder
from customize.models.sources import hub_name
from customize.packaging.figures import doubts, in_words, of_own, of_rows
from customize.packaging.manifest import Manifest
from customize.runs.assistant import AssistantFacts, adapted_told
from customize.runs.folder import RunFolder
from customize.training.recipe import Recipe

_BASE = "BASE"  # where the base lies on a machine that is not this one
_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_LIMITS = """It was not evaluated beyond what is said here. Facts belong into the prompt or into
retrieval: what a small model learnt of them by training it says with confidence, and often wrong.
"""
_DOCUMENTS = """## What it answers from

The passages that its own index finds for a question, as `rag.json` says they are shown. It quotes
and cites them, or says that they do not tell. `customize index update . DOCUMENTS` puts others in
their place; the weights stay.

What is said below of how good it is was measured with the documents of the index {index}.
Where `rag.json` names another, they were replaced since, and with those it was not measured.

"""


def write_card(folder: RunFolder, recipe: Recipe, evaluation: Evaluation | None) -> None:
    """README.md with what it was made from, how, how good it is, and what it depends on."""
    front = {"library_name": "peft", "tags": _tags(recipe)}
    replace_text(folder.path / "README.md", _card(front, folder, recipe, evaluation, ""))


def package_card(
    manifest: Manifest,
    serves: str,
    folder: RunFolder,
    model: ModelFolder,
    evaluation: Evaluation | None,
) -> str:
    """The same for a package that ``serves`` loads, with how it was proven and how it is run."""
    recipe = folder.recipe()
    front = {
        **_base_and_licence(manifest, serves, model),
        "pipeline_tag": "text-generation",
        "tags": _tags(recipe),
    }
    return _card(front, folder, recipe, evaluation, _packaged(manifest) + _documents(folder))


def _card(
    front: Mapping[str, Any],
    folder: RunFolder,
    recipe: Recipe,
    evaluation: Evaluation | None,
    packaged: str,
) -> str:
    import yaml

    lineage = folder.lineage()
    stages = [*recipe.before(), recipe]
    learnt = ", then ".join(f"by {each.method}, on {_public(each.data)}" for each in stages)
    settings = "\n".join(f"* {line}" for line in _settings(stages))
    hashes = "\n".join(f"* {what}: sha256 {sha}" for what, sha in _hashes(lineage))
    versions = ", ".join(f"{k} {v}" for k, v in lineage["versions"].items())
    numerics = [f"{key} {value}" for key, value in lineage["backend_options"].items()]
    return f"""---
{yaml.safe_dump(dict(front), sort_keys=False).strip()}
---

# {folder.path.resolve().name}

A customization of `{_public(recipe.model)}` {learnt}.

{packaged}{_retrieval(folder)}## How it was made

{settings}
* adapter: {_adapter(recipe)}
* seed: {recipe.seed}
* backend: {", ".join((lineage["backend"], *numerics))}

## What it was made from

{hashes}
* {versions}

## Evaluation

{_evaluated(evaluation)}

## Limits

{_LIMITS}"""


def _documents(folder: RunFolder) -> str:
    kept = folder.assistant_kept()
    return "" if kept is None else _DOCUMENTS.format(index=AssistantFacts.read(kept).index)


def _tags(recipe: Recipe) -> list[str]:
    return [*dict.fromkeys(["customize", *(each.method for each in (*recipe.before(), recipe))])]


def _settings(stages: Sequence[Recipe]) -> Iterator[str]:
    """Of one stage a line for each; of several with the stage's number before it."""
    for number, stage in enumerate(stages, start=1):
        which = f"stage {number}, {stage.method}, " if len(stages) > 1 else ""
        yield from (f"{which}{key}: {_public(value)}" for key, value in stage.options.items())


def _hashes(lineage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """All that went in."""
    yield "base model", lineage["model"]
    if (adapter := lineage.get("adapter")) is not None:
        yield "adapter that was gone on from", adapter
    before = lineage.get("stages", ())
    yield from ((f"data of stage {n}", data) for n, data in enumerate(before, start=1))
    yield f"data of stage {len(before) + 1}" if before else "data", lineage["data"]
    if (held_out := lineage.get("validation")) is not None:
        yield "held-out rows", held_out


def _retrieval(folder: RunFolder) -> str:
    told = adapted_told(folder.assistant_kept())
    return "" if told is None else f"## How it finds\n\n{told}.\n\n"


def _adapter(recipe: Recipe) -> str:
    """LoRA's options, or what was trained in place of a new one."""
    if recipe.adapter == "full":
        return "none, all weights were trained"
    if isinstance(recipe.adapter, str):
        return f"that of {_public(recipe.adapter)}, trained on"
    chosen = {key: value for key, value in recipe.adapter.items() if value is not None}
    return ", ".join(f"{key} {_public(value)}" for key, value in chosen.items())


def _public(value: object) -> object:
    """Of a path on this machine the last part: a card is given away."""
    is_path = isinstance(value, str) and Path(value).is_absolute()
    return Path(str(value)).name if is_path else value


def _base_and_licence(manifest: Manifest, serves: str, model: ModelFolder) -> dict[str, str]:
    """As the hub reads them; a base that is not of the hub has no name there."""
    is_peft = serves == "transformers" and manifest.needs_base
    found = {"library_name": "peft" if is_peft else serves}
    if (name := hub_name(model)) is not None:
        found |= {"base_model": name, "base_model_relation": _relation(manifest)}
    licence = _licence(model.path)
    return found if licence is None else {**found, "license": licence}


def _relation(manifest: Manifest) -> str:
    """Of the hub's words, whose "merge" is of several models: an adapter in its base is none."""
    if manifest.needs_base or manifest.shares_base:
        return "adapter"
    is_plain = manifest.precision in ("float32", "float16", "bfloat16")
    return "finetune" if is_plain else "quantized"


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
    own, rows = of_own(parity.get("own")), of_rows(parity.get("rows"))
    lines = (*in_words(parity["figures"]), *own, *rows)
    figures = "\n".join(f"* {line}" for line in lines)
    fault = parity["fault"]
    failed = (
        ""
        if fault is None
        else "\n**It answers otherwise than the run, and was kept all the same**: prompt "
        f"{fault['prompt']!r}: {fault['told']}.\n"
    )
    unsure = "".join(f"* **not shown**: {line}\n" for line in doubts(parity))
    task = parity["task"]
    told = "" if task is None else f"* the task: {task['verdict']}: {task['told']}\n"
    commands = manifest.commands(".", _BASE)
    run = "\n".join(f"* {who}: `{command}`" for who, command in commands.items())
    base = ""
    if any(f" {_BASE} " in command for command in commands.values()):
        base = f"\n`{_BASE}` is the folder of the base model, {manifest.base['name']}.\n"
    return f"""## How to run it

{run}
{base}
## How it was proven

Format {manifest.format}, weights in {manifest.precision}. It was loaded in a fresh process and
compared with the run:
{failed}
{figures}
{told}{unsure}
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
