"""What an exporter and its runtime must do. Loads what is written as its users will."""

from __future__ import annotations

MODULES = ("options", "packaging", "serving_it", "runtime")
