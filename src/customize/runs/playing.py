"""Evaluating a run in an environment: who plays, and which rows. Knows no statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    sampling: Sampling,
    max_turns: int,
    samples: int,
    seed: int,
    solved: float,
) -> Played:
    """The base, and the customized model where the run is one, play the same episodes.

    Raises:
        OptionError: the environment cannot be used, or not with these rows.
        EpisodesFailed: no episode went well.
    """
    environment = find_environment(given)
    read_rows = read(rows, kind="prompt")
    if environment.check is not None:
        environment.check(read_rows)
    columns: dict[str, Snapshot] = {"base": run.base}
    if run.folder is not None or run.adapter is not None:
        columns["customized"] = run.customized
    driver = Driver(environment, sampling, max_turns=max_turns)
    return play_columns(driver, columns, read_rows, samples, seed, solved)
