"""``customize plugins``."""

from __future__ import annotations

import click


@click.group("plugins", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List installed plugins: what each provides, what is wrong with it, and what to do.

    CUSTOMIZE_PLUGINS limits what is loaded: "" none, "a,b" only these, "-a" all but this one.
    """
    if ctx.invoked_subcommand is not None:
        return
    import json

    from customize.cli.plugins_text import listing_text
    from customize.plugins import left_out, listing
    from customize.plugins.as_json import listing_as_json

    rows = listing()
    if as_json:
        click.echo(json.dumps(listing_as_json(rows, left_out()), indent=1))
    else:
        click.echo("\n".join(listing_text(rows, left_out())))


@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Show what NAME is, who provides it, and its options; of a plugin, what it provides.

    NAME is a name (sft), a full name (customize-sft:sft) or a plugin (customize-sft).
    """
    from customize._errors import UnknownName
    from customize.cli.plugins_text import offer_text, options_text, row_text
    from customize.plugins import find, kinds_of, listing, load

    kinds, rows = kinds_of(name), [row for row in listing() if row.distribution == name]
    if not kinds and not rows:
        raise UnknownName(f"nothing installed is called {name!r}: see customize plugins")
    for row in rows:
        click.echo("\n".join(row_text(row)))
    for kind in kinds:
        click.echo("\n".join(offer_text(find(kind, name))))
        click.echo("\n".join(options_text(load(kind, name))))
