"""A package's run taken again from its recipe, and where the two first differ."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from customize._errors import ExportError
from customize.interfaces.method import SECONDS
from customize.packaging.manifest import Manifest, damage
from customize.packaging.writing import RUN, fingerprint_of
from customize.runs.folder import RunFolder
from customize.runs.given import is_given
from customize.runs.run import Run
from customize.runs.train import run_recipe
from customize.training.recipe import Recipe
from customize.training.recipe_file import with_settings

# What may round numbers otherwise: told beside, since it need not.
_ROUNDS = ("versions", "processor", "backend", "backend_options")


@attrs.frozen
class Reproduced:
    """How the second run went.

    steps: taken. first: what differs first, of what went in, then of the steps, then the weights;
    None where the weights are equal to the last bit. beside: what else is not as it was, which may
    round numbers otherwise.
    """

    steps: int
    first: str | None
    beside: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        return self.first is None

    def __str__(self) -> str:
        beside = "".join(f"\n  {line}" for line in self.beside)
        if self.first is None:
            return f"{self.steps} steps taken again: the weights are equal to the last bit{beside}"
        return f"{self.steps} steps taken again; first differs {self.first}{beside}"


def reproduce(
    package: str | Path,
    to: str | Path,
    data: str | Path | None = None,
    validation: str | Path | None = None,
    settings: Sequence[str] = (),
) -> Reproduced:
    """Train what the package's recipe says, into the run folder ``to``, and compare.

    Args:
        data: where the training rows or documents are now, if not where the recipe says.
        validation: the same of the held-out rows.
        settings: what else lies elsewhere now, each as ``key=value`` of the recipe, such as
            ``options.questions=questions.jsonl`` or ``stages.1.data=rows.jsonl``.

    Raises:
        ExportError: it is no package, a file is not as it was, or its rows are nowhere.
        OptionError: a setting is none of the recipe.
        CustomizeError: as `train` does.
    """
    folder = Path(package)
    manifest = Manifest.read(folder)
    if fault := damage(folder, manifest):
        raise ExportError(f"{package} is not what was written: {fault}")
    kept = RunFolder(folder / RUN)
    recipe = with_settings(kept.recipe(), settings) if settings else kept.recipe()
    recipe = _recipe(recipe, to, {"data": data, "validation": validation})
    again = run_recipe(recipe)
    return compare_with(kept, manifest, again)


def compare_with(kept: RunFolder, manifest: Manifest, again: Run) -> Reproduced:
    """The kept run's facts beside those of a run that was trained again."""
    folder = again.folder
    assert folder is not None
    steps = folder.metrics()
    before, now = kept.lineage(), folder.lineage()
    differences = itertools.chain(
        _inputs(before, now), _steps(kept.metrics(), steps), _weights(manifest, folder)
    )
    beside = tuple(
        f"{key} was {before.get(key)} and is {now.get(key)}"
        for key in _ROUNDS
        if before.get(key) != now.get(key)
    )
    return Reproduced(len(steps), next(differences, None), beside)


def _recipe(recipe: Recipe, to: str | Path, files: Mapping[str, str | Path | None]) -> Recipe:
    """Nobody is told of the run, and it is not evaluated: neither changes what is learnt."""
    told: dict[str, Any] = {"to": str(to), "observers": {}, "evaluate": False}
    for key, file in files.items():
        if file is not None:
            told[key] = str(file)
        elif is_given(named := getattr(recipe, key)):
            raise ExportError(
                f"its {key} was {named} that were given in Python: write each as a line of "
                f"json.dumps(row, ensure_ascii=False) to a file, and say which it is (--{key})"
            )
    if any(is_given(stage.data) or is_given(stage.validation) for stage in recipe.before()):
        raise ExportError(
            "rows of an earlier stage were given in Python, and are nowhere: write them to a file, "
            "and say which it is (--set stages.1.data=FILE)"
        )
    return Recipe(**{**recipe.to_dict(), **told})


def _inputs(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    chat = ("chat",) if "chat" in before else ()  # older packages do not say it
    for key in ("model", *chat, "data", "validation", "adapter", "stages"):
        if before.get(key) != now.get(key):
            yield f"what went in: {key} was {before.get(key)} and is {now.get(key)}"


def _steps(before: list[dict[str, float]], now: list[dict[str, float]]) -> Iterator[str]:
    for then, again in itertools.zip_longest(before, now):
        if then is None or again is None:
            number = (then or again or {})["step"]
            yield f"step {number:.0f}, which {'one run' if then else 'this run'} alone has"
            continue
        for name, value in then.items():
            if not name.endswith(SECONDS) and again.get(name) != value:
                told = f"step {then['step']:.0f}: {name} was {value} and is {again.get(name)}"
                yield told


def _weights(manifest: Manifest, folder: RunFolder) -> Iterator[str]:
    wanted = manifest.weights
    if fingerprint_of(folder.weights()) != wanted:
        yield "the weights, after steps that all were equal"
