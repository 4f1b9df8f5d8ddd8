"""A command with ``--set``, and a key that somebody wrote as an option of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import click


class Settable(click.Command):
    """Says of an option that it does not have how it is set."""

    @abstractmethod
    def setting_of(self, key: str, args: Sequence[str]) -> str | None:
        """``key=value`` as ``--set`` takes it, where a key of that name can be set."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = [*args]  # they are used up as they are parsed
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = error.option_name
            setting = self.setting_of(name.lstrip("-").replace("-", "_"), given)
            if setting is None:
                raise
            raise click.UsageError(f"No such option {name!r}: give --set {setting}", ctx) from None
