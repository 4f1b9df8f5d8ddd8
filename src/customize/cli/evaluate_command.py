"""``customize evaluate``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("evaluate")
@click.argument("source")
@click.option("--data", required=True, help="Rows with messages and expect.")
@click.option("--prompt", help="The base's best prompt, to compare with.")
@click.option(
    "--max-tokens",
    default=64,
    show_default=True,
    type=click.IntRange(min=1),
    help="Tokens an answer may have.",
)
@click.option("--json", "file", type=click.Path(path_type=Path), help="Also write every item here.")
def command(source: str, data: str, prompt: str | None, max_tokens: int, file: Path | None) -> None:
    """Compare SOURCE, a run's folder, with its base on the same rows, paired, with intervals."""
    import json

    from rich.console import Console

    from customize.runs.run import open as open_run

    evaluation = open_run(source).evaluate(data, prompt=prompt, max_tokens=max_tokens)
    Console().print(evaluation.table())
    if file is not None:
        file.write_text(json.dumps(evaluation.to_json(), indent=1), "utf-8")
        click.echo(f"Written: {file}")
