"""``customize show``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from customize.runs.folder import RunFolder


@click.command("show")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(folder: Path, as_json: bool) -> None:
    """Show the recipe, the state and the lineage of the run in FOLDER."""
    import json

    from customize.runs.folder import RunFolder
    from customize.training.recipe_file import dump

    run = RunFolder(folder)
    recipe = run.recipe().to_dict()
    state = _state(run)
    if recipe["stages"]:
        done = {before.path.name: _state(before) for before in run.before}
        last = f"{len(recipe['stages'])}-{recipe['stages'][-1]['name']}"
        state = {**state, "state_of_stages": {**done, last: state}}
    shown = {**recipe, **state, "lineage": run.lineage()}
    plain = json.dumps(shown, indent=1)
    click.echo(plain if as_json else dump(json.loads(plain)).rstrip())


def _state(run: RunFolder) -> dict[str, Any]:
    metrics = run.metrics()
    last = metrics[-1] if metrics else {}
    return {"finished": run.finished, "steps": len(metrics), "last_step": last}
