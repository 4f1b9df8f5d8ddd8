"""The run folder: which files it has and what is in them. Knows neither training nor models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Set
from importlib import metadata
from pathlib import Path
from typing import Any

import attrs

from customize._errors import CheckpointError, RunError
from customize._files import replace_text
from customize.training import sealed
from customize.training.loop import METRICS
from customize.training.recipe import UNDECIDING, Recipe

# Of the lineage: what rounds numbers differently, and is told and not refused.
_TOLD = ("versions", "processor")
_LATER = ("chat",)  # and what runs of before it was written down do not say
_PACKAGED = "packages.json"
_COST = "cost.json"
_PLAN = "plan.json"
_PACKAGES = ("customize", "torch", "transformers", "tokenizers", "numpy")


@attrs.frozen
class RunFolder:
    """A folder that holds a run, complete in itself."""

    path: Path

    @property
    def adapter(self) -> Path:
        """Where the weights are, once the run is finished."""
        return self.path / "adapter"

    @property
    def assistant(self) -> Path:
        """What the method keeps beside the weights, where it does; there once it is finished."""
        return self.path / "assistant"

    def assistant_kept(self) -> Path | None:
        """That of the last stage which kept one."""
        stages = (self, *reversed(self.before))
        return next((run.assistant for run in stages if run.assistant.is_dir()), None)

    def weights(self) -> Path:
        """The folder of the weights, whole.

        Raises:
            RunError: the run is not finished.
            CheckpointError: a file of theirs was damaged since.
        """
        if not self.finished:
            raise RunError(f"{self.path} is not finished: go on with the command that began it")
        if fault := sealed.damage(self.adapter):
            raise CheckpointError(
                f"{self.adapter} is damaged ({fault}): remove finished.json and give the command "
                "that began the run, which makes it again from the last checkpoint"
            )
        return self.adapter

    @property
    def evaluation(self) -> Path:
        """The last evaluation."""
        return self.path / "eval"

    def compared_with(self, name: str) -> Path:
        """The last comparison with a run of that name, or of the end of that path."""
        return self.path / f"eval-against-{name.replace('/', '-')}"

    @property
    def finished(self) -> bool:
        return (self.path / "finished.json").is_file()

    def cost(self) -> Mapping[str, Any] | None:
        """What training took; None where that was not kept.

        ``seconds``; ``peak_bytes``, of the device's memory, or of the process where it has none of
        its own, None where what it held before cannot be told apart; and whether that is of the
        ``whole`` run and not of what was left of it. Also ``evaluation_s``, where an evaluation
        ended it, which then counts for the peak too; and the ``machine``, as far as the backend
        told it.
        """
        is_kept = self.finished and (self.path / _COST).is_file()
        return self._read(_COST) if is_kept else None

    def keep_cost(self, cost: Mapping[str, Any]) -> None:
        """In a file of its own: all else of two runs of one recipe is equal."""
        self._write(_COST, cost)

    def plan(self) -> Mapping[str, Any] | None:
        """``plan``: what was planned; whether that was ``before`` it was finished; and what
        ``happened``. None where it was not held against a plan.
        """
        return self._read(_PLAN) if (self.path / _PLAN).is_file() else None

    def keep_plan(self, plan: Mapping[str, Any]) -> None:
        """As ``plan`` gives it."""
        self._write(_PLAN, plan)

    @property
    def exists(self) -> bool:
        return (self.path / "recipe.json").is_file()

    @property
    def before(self) -> list[RunFolder]:
        """The runs of the stages before the last, as far as they have begun."""
        inside = [RunFolder(path) for path in (self.path / "stages").glob("*-*")]
        numbered = sorted(inside, key=lambda run: int(run.path.name.partition("-")[0]))
        return [run for run in numbered if run.exists]

    def recipe(self) -> Recipe:
        """The resolved recipe.

        Raises:
            RunError: this is no run folder.
        """
        if not self.exists:
            raise RunError(f"{self.path} is no run folder: it has no recipe.json")
        return Recipe(**self._read("recipe.json"))

    def lineage(self) -> dict[str, Any]:
        """Versions and hashes of everything that went in."""
        return self._read("lineage.json")

    def numerics(self, backend: str) -> Mapping[str, Any]:
        """What the backend settled on when the run began; nothing of a new run or another one's."""
        lineage = self.lineage() if self.exists else {}
        return lineage.get("backend_options", {}) if lineage.get("backend") == backend else {}

    def metrics(self) -> list[dict[str, float]]:
        """One dict a step."""
        file = self.path / METRICS
        if not file.is_file():
            return []
        text = file.read_text("utf-8", errors="replace")
        whole = text[: text.rfind("\n") + 1]  # a kill may have cut the last line
        return [_parsed(line, f"{file}:{i}") for i, line in enumerate(whole.splitlines(), start=1)]

    def records(self, name: str) -> Iterator[dict[str, Any]]:
        """What a method recorded under this name, each with its step.

        Raises:
            RunError: there is nothing of it.
        """
        file = self.path / f"{name}.jsonl"
        if not file.is_file():
            raise RunError(f"{file} is missing: the run's method records no {name}")
        with file.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, start=1):
                if line.endswith("\n"):  # a kill may have cut the last line
                    yield _parsed(line, f"{file}:{number}")

    def episodes(self, step: int | None = None) -> list[dict[str, Any]]:
        """The episodes of a step, by default the last one recorded.

        Raises:
            RunError: there are none.
        """
        found: list[dict[str, Any]] = []
        for episode in self.records("episodes"):
            if step in (None, episode["step"]):
                if found and found[-1]["step"] != episode["step"]:
                    found = []
                found.append(episode)
        if not found:
            raise RunError(f"{self.path} has no episodes of step {step}")
        return found

    def packages(self) -> dict[str, dict[str, Any]]:
        """What `note_package` was told, by the package's folder."""
        return self._read(_PACKAGED) if (self.path / _PACKAGED).is_file() else {}

    def note_package(self, to: Path, facts: Mapping[str, Any]) -> None:
        """Keep what is known of a package that was made of the run."""
        self._write(_PACKAGED, {**self.packages(), str(to): facts})

    def begin(
        self, recipe: Recipe, lineage: Mapping[str, Any], may_change: Set[str] = frozenset()
    ) -> list[str]:
        """Write what a new run is, or check that an unfinished one is the same.

        may_change: the backend's options of the lineage that need not be.

        Returns what is to be told: the processor, a version or such an option is not what it was,
        so that numbers may be rounded differently from here on.

        Raises:
            RunError: the folder holds something else, or a run that differs; its keys are named.
        """
        if not self.exists:
            self._write("lineage.json", lineage)
            self._write("recipe.json", recipe.to_dict())
            return []
        began = self.lineage()
        self._same("recipe", self.recipe().to_dict(), recipe.to_dict(), UNDECIDING)
        unsaid = tuple(key for key in _LATER if key not in began)
        (there, before), (here, now) = (_parted(given, may_change) for given in (began, lineage))
        self._same("lineage", there, here, unsaid)
        told = {key: getattr(recipe, key) for key in ("observers", "evaluate", "skip_not_finite")}
        if any(getattr(self.recipe(), key) != value for key, value in told.items()):
            self._write("recipe.json", {**self.recipe().to_dict(), **told})
        before, now = _flat(before), _flat(now)
        return [
            f"{key} was {before.get(key)} when the run began and is {now.get(key)} now: numbers "
            "may be rounded differently from here on"
            for key in _differing(before, now)
        ]

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Mark the run as done."""
        self._write("finished.json", facts)

    def _same(
        self, what: str, before: Mapping[str, Any], now: Mapping[str, Any], but: tuple[str, ...]
    ) -> None:
        there, here = ({k: v for k, v in given.items() if k not in but} for given in (before, now))
        refuse_difference(self.path, f"run whose {what}", there, here)

    def _read(self, name: str) -> dict[str, Any]:
        file = self.path / name
        if not file.is_file():
            raise RunError(f"{file} is missing: without it the run cannot be used")
        return _parsed(file.read_text("utf-8", errors="replace"), str(file))

    def _write(self, name: str, value: Mapping[str, Any]) -> None:
        replace_text(self.path / name, json.dumps(value, indent=1))


class Differs(RunError):
    """A folder holds another run, or another correction, than the one that is asked for."""


def refuse_difference(
    folder: Path, what: str, before: Mapping[str, Any], now: Mapping[str, Any]
) -> None:
    """A folder goes on with what it holds alone.

    Raises:
        Differs: something differs; its keys are named.
    """
    there, here = _flat(before), _flat(now)
    if keys := differing_keys(before, now):
        told = "".join(f"\n  {k}: {there.get(k)!r} there, {here.get(k)!r} now" for k in keys)
        raise Differs(
            f"{folder} holds a {what} differs:{told}\n"
            "Give another folder, or the same settings to go on with it"
        )


def differing_keys(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Those whose values are not equal as JSON, with dots where a key is inside of another."""
    return _differing(_flat(before), _flat(now))


def _parted(
    lineage: Mapping[str, Any], may_change: Set[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What must be the same when a run goes on, and what is told where it is not."""
    options = lineage.get("backend_options", {})
    told = {key: lineage.get(key) for key in _TOLD}
    told["backend_options"] = {k: v for k, v in options.items() if k in may_change}
    fixed = {key: value for key, value in lineage.items() if key not in told}
    fixed["backend_options"] = {k: v for k, v in options.items() if k not in may_change}
    return fixed, told


def folder_fingerprint(folder: Path) -> str:
    """sha256 over a folder's files, their names and contents."""
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{file.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Installed versions of what a run's numbers depend on."""
    out = {}
    for name in _PACKAGES:
        try:
            out[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return out


def _parsed(text: str, place: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise RunError(f"{place} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise RunError(f"{place} is damaged: it holds no object")
    return value


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``; tuples as lists, which is all that JSON has."""
    return dict(_leaves("", json.loads(json.dumps(values))))


def _leaves(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = {str(number): part for number, part in enumerate(value, start=1)}
        if isinstance(value, dict):
            yield from _leaves(f"{prefix}{key}.", value)
        else:
            yield f"{prefix}{key}", value


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [key for key in {**before, **now} if before.get(key) != now.get(key)]
