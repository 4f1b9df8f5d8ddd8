"""What a scorer must do."""

from __future__ import annotations

MODULES = ("scoring", "declaring")
