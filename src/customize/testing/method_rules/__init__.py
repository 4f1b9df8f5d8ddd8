"""What a method must do. Runs it on the toy backend."""

from __future__ import annotations

MODULES = ("options", "steps", "learning", "resuming", "needing", "data")
