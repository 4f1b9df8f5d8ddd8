"""``customize-audit``. Computes nothing itself."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import click

import customize
from customize_audit.canaries import insert, read_canaries
from customize_audit.exposure import Exposure, exposure
from customize_audit.membership import Membership, membership

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def main() -> None:
    """The script ``customize-audit``."""
    customize.run_command(command)


@click.group()
def command() -> None:
    """What a customized model remembers of its training rows."""


@command.command("insert")
@click.argument("rows", type=_FILE)
@click.option("--to", required=True, type=click.Path(path_type=Path), help="The file to train on.")
@click.option("--count", default=10, show_default=True, help="Canaries.", type=click.IntRange(1))
@click.option("--times", default=1, show_default=True, help="Rows of each.", type=click.IntRange(1))
@click.option("--seed", default=0, show_default=True, help="Which canaries.")
def _insert(rows: Path, to: Path, count: int, times: int, seed: int) -> None:
    """Put canaries among the training ROWS, before training."""
    named = insert(rows, to, count=count, times=times, seed=seed)
    click.echo(f"Train on {to}, then: customize-audit exposure RUN {named}")


@command.command("exposure")
@click.argument("run")
@click.argument("canaries", type=_FILE)
@click.option("--others", default=255, show_default=True, help="Codes to compare each with.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def _exposure(run: str, canaries: Path, others: int, as_json: bool) -> None:
    """How far the RUN gives its CANARIES away."""
    _show(exposure(customize.open(run), read_canaries(canaries), others=others), as_json)


@command.command("membership")
@click.argument("run")
@click.option("--members", required=True, type=_FILE, help="Rows that were trained on.")
@click.option("--others", required=True, type=_FILE, help="Rows like them that were not.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def _membership(run: str, members: Path, others: Path, as_json: bool) -> None:
    """Whether the RUN's training rows can be told from others by its loss."""
    given = (customize.read(path, kind="chat") for path in (members, others))
    rows = [[data[n] for n in range(len(data))] for data in given]
    _show(membership(customize.open(run), *rows), as_json)


def _show(found: Exposure | Membership, as_json: bool) -> None:
    click.echo(json.dumps(attrs.asdict(found)) if as_json else found.told)
