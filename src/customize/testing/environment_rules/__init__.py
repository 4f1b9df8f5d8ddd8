"""What an environment must do."""

from __future__ import annotations

MODULES = ("playing", "ending")
