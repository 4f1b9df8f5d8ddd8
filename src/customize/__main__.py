"""``python -m customize`` is the command ``customize``."""

from __future__ import annotations

from customize.cli import main

main()
