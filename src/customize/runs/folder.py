"""The run folder: which files it has and what is in them. Knows neither training nor models."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import attrs

from customize._errors import RunError
from customize.training.loop import METRICS
from customize.training.recipe import UNDECIDING, Recipe

_PACKAGES = ("customize", "torch", "transformers", "tokenizers", "numpy")


@attrs.frozen
class RunFolder:
    """A folder that holds a run, complete in itself."""

    path: Path

    @property
    def adapter(self) -> Path:
        """The weights, once the run is finished."""
        return self.path / "adapter"

    @property
    def finished(self) -> bool:
        return (self.path / "finished.json").is_file()

    @property
    def exists(self) -> bool:
        return (self.path / "recipe.json").is_file()

    def recipe(self) -> Recipe:
        """The resolved recipe.

        Raises:
            RunError: this is no run folder.
        """
        if not self.exists:
            raise RunError(f"{self.path} is no run folder: it has no recipe.json")
        return Recipe(**json.loads((self.path / "recipe.json").read_text("utf-8")))

    def lineage(self) -> dict[str, Any]:
        """Versions and hashes of everything that went in."""
        value: dict[str, Any] = json.loads((self.path / "lineage.json").read_text("utf-8"))
        return value

    def metrics(self) -> list[dict[str, float]]:
        """One dict a step."""
        file = self.path / METRICS
        if not file.is_file():
            return []
        text = file.read_text("utf-8")
        whole = text[: text.rfind("\n") + 1]  # a kill may have cut the last line
        return [json.loads(line) for line in whole.splitlines()]

    def begin(self, recipe: Recipe, lineage: Mapping[str, Any]) -> None:
        """Write what a new run is, or check that an unfinished one is the same.

        Raises:
            RunError: the folder holds something else, or a run that differs; its keys are named.
        """
        if not self.exists:
            self._write("lineage.json", lineage)
            self._write("recipe.json", recipe.to_dict())
            return
        self._same("recipe", _deciding(self.recipe()), _deciding(recipe))
        kept = {k: v for k, v in self.lineage().items() if k != "versions"}
        self._same("lineage", kept, {k: v for k, v in lineage.items() if k != "versions"})
        if self.recipe().observers != recipe.observers:
            self._write("recipe.json", {**self.recipe().to_dict(), "observers": recipe.observers})

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Mark the run as done."""
        self._write("finished.json", facts)

    def _same(self, what: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        there, here = _flat(before), _flat(now)
        keys = [k for k in {**there, **here} if there.get(k) != here.get(k)]
        if keys:
            told = "".join(f"\n  {k}: {there.get(k)!r} there, {here.get(k)!r} now" for k in keys)
            raise RunError(
                f"{self.path} holds a run whose {what} differs:{told}\n"
                "Give another folder, or the same settings to go on with it"
            )

    def _write(self, name: str, value: Mapping[str, Any]) -> None:
        beside = self.path / f".{name}.writing"
        with beside.open("w", encoding="utf-8") as stream:
            json.dump(value, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(self.path / name)


def versions() -> dict[str, str]:
    """Installed versions of what a run's numbers depend on."""
    out = {}
    for name in _PACKAGES:
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return out


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"options": {"lr": 1}}`` as ``{"options.lr": 1}``: keys as --set takes them."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _deciding(recipe: Recipe) -> dict[str, Any]:
    """JSON has lists where Python has tuples: compared as JSON."""
    values: dict[str, Any] = json.loads(json.dumps(recipe.to_dict()))
    return {k: v for k, v in values.items() if k not in UNDECIDING}
