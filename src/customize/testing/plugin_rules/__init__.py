"""What a plugin must do: be found, be light, and be what it says."""

from __future__ import annotations

MODULES = ("listing", "offering")
