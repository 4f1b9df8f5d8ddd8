"""The command line: one file a command, each importing what it needs when it is called."""

from __future__ import annotations

from customize.cli.group import main as main
