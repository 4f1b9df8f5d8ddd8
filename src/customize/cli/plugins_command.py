"""``customize plugins``."""

from __future__ import annotations

import click


@click.group("plugins", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List installed plugins, broken ones with their error."""
    if ctx.invoked_subcommand is not None:
        return
    import json

    import attrs

    from customize.plugins import listing

    rows = listing()
    if as_json:
        click.echo(json.dumps([attrs.asdict(row) for row in rows], indent=1))
        return
    for row in rows:
        provides = ", ".join(row.provides) or "nothing"
        click.echo(f"{row.distribution} {row.version}: {provides}")
        if row.error:
            click.echo(f"  broken: {row.error}")


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Show what NAME is, and its options with help and bounds."""
    from customize._errors import UnknownName
    from customize.plugins import load, specs
    from customize.plugins.specs import KINDS

    kinds = [kind for kind in KINDS if name in specs(kind)]
    if not kinds:
        raise UnknownName(f"nothing installed is called {name!r}: see customize plugins")
    for kind in kinds:
        click.echo(f"{kind} {name}: {specs(kind)[name].summary}")
        _show_options(load(kind, name))


def _show_options(target: type) -> None:
    import attrs

    from customize._options import options_of

    if not (isinstance(target, type) and attrs.has(target)):
        return
    for option in options_of(target):
        bounds = f" ({option.bounds})" if str(option.bounds) else ""
        click.echo(f"  {option.name} = {option.default!r}{bounds}\n      {option.help}")
