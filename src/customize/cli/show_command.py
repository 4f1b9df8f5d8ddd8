"""``customize show``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("show")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(folder: Path, as_json: bool) -> None:
    """Show the recipe, the state and the lineage of the run in FOLDER."""
    import json

    from customize.runs.folder import RunFolder
    from customize.training.recipe_file import dump

    run = RunFolder(folder)
    recipe, metrics = run.recipe().to_dict(), run.metrics()
    shown = {
        **recipe,
        "finished": run.finished,
        "steps": len(metrics),
        "last_step": metrics[-1] if metrics else {},
        "lineage": run.lineage(),
    }
    plain = json.dumps(shown, indent=1)
    click.echo(plain if as_json else dump(json.loads(plain)).rstrip())
