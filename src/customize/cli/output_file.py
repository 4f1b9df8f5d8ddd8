"""A file to be written, as a command's parameter: refused before the work, not after it."""

from __future__ import annotations

from pathlib import Path

import click


class OutputFile(click.ParamType):
    """A path in a folder that is there."""

    name = "file"

    def convert(
        self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        path = Path(value)
        if path.is_dir():
            self.fail(f"{path} is a folder: name a file in it", param, ctx)
        if not path.parent.is_dir():
            self.fail(f"there is no folder {path.parent} to write it in", param, ctx)
        return path
