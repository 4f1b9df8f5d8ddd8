"""Writes the table of a finished quickstart into the README: ``python … runs/pizza``.

So no figure of the README was typed by hand.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console

from customize.evaluation.table import table
from customize.runs.folder import RunFolder
from customize.runs.report import evaluation_of

README = Path(__file__).parent.parent / "README.md"
BEGIN = "<!-- quickstart table: written by docs/write_quickstart_table.py -->\n"
END = "<!-- end of quickstart table -->\n"


def main(folder: Path) -> None:
    """Replace what lies between the two marks."""
    evaluation = evaluation_of(RunFolder(folder))
    if evaluation is None:
        raise SystemExit(f"{folder} holds no evaluation: run the quickstart first")
    stream = io.StringIO()
    Console(file=stream, width=80).print(table(evaluation))
    text = "\n".join(line.rstrip() for line in stream.getvalue().strip("\n").splitlines())
    before, rest = README.read_text("utf-8").split(BEGIN)
    _, after = rest.split(END)
    README.write_text(f"{before}{BEGIN}```text\n{text}\n```\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
