"""What an exporter must do."""

from __future__ import annotations

MODULES = ("options",)
