"""``customize replay``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("replay")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--step", required=True, type=click.IntRange(min=1), help="The step to take again.")
def command(folder: Path, step: int) -> None:
    """Take a step of the run in FOLDER again from its episodes, and compare what was logged.

    It begins at the newest checkpoint before the step, or at the start; nothing is sampled. The
    exit code is 1 where something differs.
    """
    import sys

    from customize.runs.opening import open as open_run
    from customize.runs.replaying import replay

    found = replay(open_run(folder), step)
    click.echo(str(found))
    if not found.is_equal:
        sys.exit(1)
