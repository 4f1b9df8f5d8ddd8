"""What an observer of runs must do."""

from __future__ import annotations

MODULES = ("hearing",)
