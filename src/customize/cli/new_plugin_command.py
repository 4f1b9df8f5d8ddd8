"""``customize new-plugin``."""

from __future__ import annotations

from pathlib import Path

import click

from customize.scaffold import KINDS

NEXT = """\
Made {name}, which offers the {kind} {offered!r} and passes its own tests. Next:

  cd {name}
  pip install -e ".[dev]"
  pytest                                  # the rules that a {kind} must keep, and yours
  mypy && ruff check . && ruff format .
  customize plugins show {offered}
  python -m build                         # then choose a licence, and: twine upload dist/*

Your code goes into src/{package}/{kind}.py."""


@click.command("new-plugin")
@click.argument("name")
@click.option(
    "--kind",
    required=True,
    type=click.Choice(KINDS),
    metavar="KIND",
    help=f"What it offers: {', '.join(KINDS)}.",
)
def command(name: str, kind: str) -> None:
    """Make the folder NAME: a distribution with a small working plugin, for you to change.

    NAME is a maker's and a plugin's own: acme-kto offers kto.

    \b
    customize new-plugin acme-kto --kind method
    """
    from customize.scaffold import new_plugin
    from customize.scaffold.naming import Names

    new_plugin(name, kind, Path())
    names = Names(name)
    click.echo(NEXT.format(name=name, kind=kind, offered=names.offered, package=names.package))
