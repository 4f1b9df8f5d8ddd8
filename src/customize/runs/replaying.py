"""Steps taken again from what they recorded: nothing is sampled and nothing judged."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from customize._errors import OptionError, RunError, Unsupported
from customize._live_line import LiveLine
from customize.data.reading import read
from customize.interfaces.dataset import Row
from customize.interfaces.method import Method
from customize.interfaces.session import Adapter, Session
from customize.plugins import load
from customize.runs.folder import RunFolder
from customize.runs.own_rows import located
from customize.runs.run import Run
from customize.training import checkpoints
from customize.training.not_finite import TolerantSession, finite
from customize.training.recipe import Recipe

_INLINE = re.compile(r"(?P<name>.+), sha256 [0-9a-f]{64}")
_UNASKED = ("reward", "tools", "environment")  # a replay asks none of these
_ROWS = re.compile(r"([0-9]+) rows")
Records = Mapping[str, list[dict[str, Any]]]  # JSON values


@attrs.frozen
class Replayed:
    """How a step went the second time.

    first: the step from whose beginning it was taken again.
    differing: of what it logged, what is another now: (then, now).
    """

    number: int
    first: int
    metrics: Mapping[str, float]
    differing: Mapping[str, tuple[float | None, float | None]]

    @property
    def is_equal(self) -> bool:
        """To the last bit."""
        return not self.differing

    def __str__(self) -> str:
        where = f"steps {self.first} to {self.number}" if self.first < self.number else "the step"
        if self.is_equal:
            return (
                f"step {self.number}: {where} taken again, and all {len(self.metrics)} metrics are "
                "equal to the last bit"
            )
        told = "".join(f"\n  {k}: {a} then, {b} now" for k, (a, b) in self.differing.items())
        return f"step {self.number}: {where} taken again, and these differ:{told}"


def replay(run: Run, number: int) -> Replayed:
    """Take a step again, from the newest checkpoint before it or from the start.

    Raises:
        RunError: the run has no such step, or no records of it.
        Unsupported: the run's method keeps none.
    """
    folder = run.folder
    if folder is None:
        raise RunError(f"{run!r} is a model: replay takes a run's folder")
    logged = {int(step["step"]): step for step in folder.metrics()}
    if number not in logged:
        there = f"1 to {max(logged)}" if logged else "none"
        raise RunError(f"{folder.path} has no step {number}: there are {there}")
    method = _method(folder)
    if not method.records:
        raise Unsupported(f"{type(method).__name__} keeps no records to take a step from")
    session, done = _session(run, folder, number)
    records = _records(folder, method, range(done + 1, number + 1))
    total = _total(folder, method)
    tolerant = TolerantSession(session, allowed=total)  # as many as the run left out
    metrics: Mapping[str, float] = {}
    for step in range(done + 1, number + 1):
        metrics = finite(method.retake(tolerant, step, total, records[step]).metrics)
    session.close()
    return Replayed(number, done + 1, metrics, _differing(logged[number], metrics))


def _method(folder: RunFolder) -> Method:
    recipe = folder.recipe()
    options = {k: _without_functions(k, v) for k, v in recipe.options.items()}
    made: Method = load("method", recipe.method)(**options)
    return made


def _without_functions(option: str, value: Any) -> Any:
    """What was given inline is not here; where a replay does not ask it, a stand-in will do."""
    if isinstance(value, Mapping):
        return {
            _without_functions(option, k): _without_functions(option, v) for k, v in value.items()
        }
    if isinstance(value, list):
        return tuple(_without_functions(option, item) for item in value)
    inline = _INLINE.fullmatch(value) if isinstance(value, str) else None
    if inline is None:
        return value
    if option not in _UNASKED:
        raise OptionError(
            f"{option} was a function given inline, {inline['name']}: only a run that names it as "
            "package.module:name can be replayed"
        )
    return _stand_in(inline["name"])


def _stand_in(name: str) -> Callable[..., Any]:
    def missing(row: Row, rng: object) -> Any:
        """Stands for a function that was given inline."""
        yield
        raise RunError(f"{name} was given inline and is not here")

    missing.__name__ = name.rpartition(".")[2]
    missing.__annotations__ = {"row": str, "rng": str}
    return missing


def _session(run: Run, folder: RunFolder, number: int) -> tuple[Session, int]:
    """A session before the step, or before one that comes earlier, and the step it is after."""
    session = run.engine.open(_start(folder), folder.recipe().seed)
    found = checkpoints.latest_before(folder.path / "checkpoints", number, LiveLine().say)
    if found is None:
        return session, 0
    session.load(found.folder / "session")
    return session, found.step


def _start(folder: RunFolder) -> Adapter | Path:
    """What training opened: as the recipe says, or after a stage what came of that.

    Raises:
        RunError: the stage before is not there, or not finished.
    """
    whole, number = _place(folder)
    if number == 1:
        return _adapter_of(folder)
    below = next((stage for stage in whole.before if _number(stage) == number - 1), None)
    if below is None:
        raise RunError(f"{whole.path} has no stage {number - 1}, after which {folder.path} began")
    return whole.recipe().adapter_of_stage(number, below.weights())


def _adapter_of(folder: RunFolder) -> Adapter | Path:
    """What its recipe names, from where the run was begun."""
    recipe = folder.recipe()
    given = recipe.adapter
    if isinstance(given, str) and given != "full":
        given = located(folder, given)
    elif isinstance(given, Mapping) and given.get("on") is not None:
        given = {**given, "on": located(folder, given["on"])}
    return Recipe(**{**recipe.to_dict(), "adapter": given}).adapter_chosen()


def _place(folder: RunFolder) -> tuple[RunFolder, int]:
    """The whole run, and which of its stages this is, from 1; a run itself is its last."""
    path = folder.path.resolve()
    whole = RunFolder(path.parent.parent)
    if path.parent.name == "stages" and whole.exists:
        return whole, _number(folder)
    return folder, max(1, len(folder.recipe().stages))


def _number(stage: RunFolder) -> int:
    return int(stage.path.resolve().name.partition("-")[0])


def _records(folder: RunFolder, method: Method, steps: range) -> Mapping[int, Records]:
    found: dict[int, dict[str, list[dict[str, Any]]]] = {
        step: {name: [] for name in method.records} for step in steps
    }
    for name in method.records:
        for row in folder.records(name):
            if row["step"] in steps:
                found[row["step"]][name].append(row)
    return found


def _total(folder: RunFolder, method: Method) -> int:
    """How many steps the run was to take; of rows only their number counts."""
    recipe = folder.recipe()
    given = _ROWS.fullmatch(recipe.data)
    if given is not None:
        return method.num_steps(_Counted(int(given[1]), method.data))
    source = located(folder, recipe.data)
    rows = read(source, kind=method.data, on_bad_rows=recipe.on_bad_rows)  # type: ignore[arg-type]
    return method.num_steps(rows)


@attrs.frozen
class _Counted:
    """Rows that were given in Python and are not here."""

    number: int
    kind: str
    fingerprint: str = ""

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int, /) -> Row:
        raise RunError("the rows were given in Python and are not here")


def _differing(
    then: Mapping[str, float], now: Mapping[str, float]
) -> Mapping[str, tuple[float | None, float | None]]:
    """Of what the method itself gives; seconds and measures on held-out rows are not of these."""
    return {name: (then.get(name), value) for name, value in now.items() if then.get(name) != value}
