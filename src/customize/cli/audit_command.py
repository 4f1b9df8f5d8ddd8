"""``customize audit``."""

from __future__ import annotations

import click


@click.command("audit")
@click.argument("data")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(data: str, as_json: bool) -> None:
    """Report what is wrong in DATA, by row: bad rows, duplicates and near-duplicates, empty and cut
    answers, personal data and secrets; and what lengths and languages there are.

    Near-duplicates are what `customize split` keeps on one side: one word in 18 changed, or fewer.
    """
    from rich.console import Console

    from customize.data import audit

    report = audit(data)
    if as_json:
        click.echo(report.to_json())
    else:
        report.print(Console())
