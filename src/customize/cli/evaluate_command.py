"""``customize evaluate``."""

from __future__ import annotations

from pathlib import Path

import click

from customize.cli.output_file import in_a_folder


@click.command("evaluate")
@click.argument("source")
@click.option("--data", required=True, help="Rows with messages and expect.")
@click.option("--revision", help="Branch, tag or commit of a hub model.")
@click.option("--prompt", help="The base's best prompt, to compare with.")
@click.option(
    "--max-tokens",
    default=64,
    show_default=True,
    type=click.IntRange(min=1),
    help="Tokens an answer may have.",
)
@click.option("--general", is_flag=True, help="Also ask 150 general items, to see what was broken.")
@click.option(
    "--json",
    "file",
    type=click.Path(path_type=Path),
    callback=in_a_folder,
    help="Also write every item here.",
)
def command(
    source: str,
    data: str,
    revision: str | None,
    prompt: str | None,
    max_tokens: int,
    general: bool,
    file: Path | None,
) -> None:
    """Compare SOURCE, a run's folder, with its base on the same rows, paired, with intervals."""
    import json

    from rich.console import Console

    from customize.runs.run import open as open_run

    run = open_run(source, revision=revision)
    evaluation = run.evaluate(data, prompt=prompt, max_tokens=max_tokens, general=general)
    Console().print(evaluation.table())
    if run.folder is not None:
        click.echo(f"Report: {run.folder.path / 'report.html'}")
    if file is not None:
        file.write_text(json.dumps(evaluation.to_json(), indent=1), "utf-8")
        click.echo(f"Written: {file}")
