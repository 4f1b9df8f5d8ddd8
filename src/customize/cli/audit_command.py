"""``customize audit``."""

from __future__ import annotations

import click


@click.command("audit")
@click.argument("data")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(data: str, as_json: bool) -> None:
    """Report duplicates, lengths, cut answers, personal data and secrets in DATA, by row.

    Near-duplicates are what `customize split` keeps on one side: one word in 18 changed, or fewer.
    """
    from rich.console import Console

    from customize.data import audit

    report = audit(data)
    if as_json:
        click.echo(report.to_json())
    else:
        report.print(Console())
