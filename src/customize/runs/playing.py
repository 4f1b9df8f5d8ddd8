"""Evaluating a run in an environment: who plays, and which rows. Knows no statistics."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from customize._errors import OptionError
from customize.data.reading import read
from customize.evaluation.playing import Played, play_columns
from customize.interfaces.backend import Sampling, Snapshot
from customize.interfaces.environment import Environment, Function
from customize.rollouts.driver import Driver
from customize.rollouts.judged import find_environment

if TYPE_CHECKING:
    from customize.runs.run import Run


def play_run(
    run: Run,
    rows: str | Path | Sequence[Mapping[str, Any]],
    given: str | Function | Environment,
    against: Mapping[str, Any],
    sampling: Sampling,
    max_turns: int,
    samples: int,
    seed: int,
    solved: float,
) -> Played:
    """The base, and the customized model where the run is one, play the same episodes.

    Raises:
        OptionError: the environment cannot be used, or not with these rows; another that plays
            is neither run nor model.
        EpisodesFailed: no episode went well.
    """
    environment = find_environment(given)
    read_rows = read(rows, kind="prompt")
    if environment.check is not None:
        environment.check(read_rows)
    columns: dict[str, Snapshot] = {"base": run.base}
    columns |= {name: _snapshot(other, name) for name, other in against.items()}
    if run.folder is not None or run.adapter is not None:
        columns["customized"] = run.customized
    driver = Driver(environment, sampling, max_turns=max_turns)
    return play_columns(driver, columns, read_rows, samples, seed, solved)


def _snapshot(given: Any, name: str) -> Snapshot:
    from customize.runs.opening import open
    from customize.runs.run import Run

    other = given if isinstance(given, Run) else None
    if other is None and isinstance(given, (str, os.PathLike)) and "://" not in str(given):
        other = open(given)
    if other is None:
        raise OptionError(f"against {name!r}: a run or a model plays, and no endpoint")
    return other.customized
