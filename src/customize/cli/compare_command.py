"""``customize compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from customize.cli.evaluation_options import (
    evaluation_options,
    rows_of,
    scorers_of,
    settings_of,
    show,
)


@click.command("compare")
@click.argument("old", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("new", type=click.Path(path_type=Path, exists=True, file_okay=False))
@evaluation_options
def command(old: Path, new: Path, to: Path | None, **given: Any) -> None:
    """Compare the run in NEW with the run in OLD on the same rows, paired, with intervals.

    The results go to NEW/eval-against-OLD unless --to is given.
    """
    from customize.runs.evaluating import Asked, compare_runs
    from customize.runs.opening import open as open_run
    from customize.training.evaluation_plan import judge_plan_of, parse_gates

    given["rows"] = rows_of(given)
    given["scorers"] = scorers_of(given["scorers"])
    given["prices"] = settings_of(given["prices"])
    given["judge"] = judge_plan_of(settings_of(given["judge"]) or None)
    given["gates"] = parse_gates(given["gates"])
    asked, newer = Asked(**given), open_run(new)
    evaluation = compare_runs(newer, open_run(old), asked, to)
    assert newer.folder is not None
    show(evaluation, to or newer.folder.compared_with(str(evaluation.rival)))
