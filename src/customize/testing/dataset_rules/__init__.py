"""What a data set must do, whoever offers it."""

from __future__ import annotations

MODULES = ("rows",)
