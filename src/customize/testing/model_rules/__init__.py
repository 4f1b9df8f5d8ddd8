"""What a source of models must do."""

from __future__ import annotations

MODULES = ("folder", "missing")
