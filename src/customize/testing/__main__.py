"""``python -m customize.testing KIND NAME``: hold what is installed to its rules."""

from __future__ import annotations

import argparse
import json
import sys

from customize._errors import CustomizeError
from customize.runs.backends import quiet_libraries
from customize.testing.expansion import outcomes
from customize.testing.holding import report, table
from customize.testing.rules import KINDS


def main() -> None:
    """Exit codes: 1 a rule is broken, 2 there is no such subject."""
    parser = argparse.ArgumentParser(prog="python -m customize.testing", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("name", help="as in a recipe; of a plugin the module of its entry point")
    parser.add_argument("--on", help="what it is tried on: a model, a backend, a file")
    parser.add_argument("--json", action="store_true", help="as JSON, with a badge")
    asked = parser.parse_args()
    quiet_libraries()
    try:
        found = outcomes(asked.kind, asked.name, asked.on)
    except CustomizeError as error:
        parser.exit(2, f"Error: {error}\n")
    print(json.dumps(report(found), indent=1) if asked.json else table(found))
    sys.exit(any(outcome.status == "failed" for outcome in found))


if __name__ == "__main__":
    main()
