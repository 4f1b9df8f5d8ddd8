"""What an index must do."""

from __future__ import annotations

MODULES = ("finding", "keeping")
