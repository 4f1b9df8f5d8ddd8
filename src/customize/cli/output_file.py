"""A file to be written, as a command's option: refused before the work, not after it."""

from __future__ import annotations

from pathlib import Path

import click


def in_a_folder(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """The path, where a file can be written there; an option's ``callback``."""
    if path is None:
        return None
    if path.is_dir():
        raise click.BadParameter(f"{path} is a folder: name a file in it", ctx, param)
    if not path.parent.is_dir():
        raise click.BadParameter(f"there is no folder {path.parent} to write it in", ctx, param)
    return path
