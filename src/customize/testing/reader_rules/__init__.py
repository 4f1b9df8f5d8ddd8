"""What a reader of files must do."""

from __future__ import annotations

MODULES = ("reading",)
