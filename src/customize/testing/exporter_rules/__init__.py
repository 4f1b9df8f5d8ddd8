"""What an exporter must do. Loads what it writes as its users will."""

from __future__ import annotations

MODULES = ("options", "exporting", "serving_it")
