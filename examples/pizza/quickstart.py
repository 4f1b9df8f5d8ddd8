"""Train the pizza store's assistant, and show whether it got better: ``python quickstart.py``.

Run again, it goes on where it was stopped, and a finished run is only evaluated.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from textwrap import shorten
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

import customize
from customize.evaluation.item import Item
from customize.evaluation.table import table
from customize.runs.train import run_recipe
from customize.training.recipe_file import read_recipe

HERE = Path(__file__).parent
# A shop as rows have it: facts are read from the prompt, and are in no weight.
SHOP = "You answer for Il Forno. Diavola €12.90, Bianca €14.50. Closed Monday."


def main() -> None:
    """Train, compare on test rows that training never saw, and say what to try next."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    rows = rows_of("test.jsonl")
    rows = rows[: int(os.environ.get("QUICKSTART_ROWS", len(rows)))]
    run = run_recipe(read_recipe(HERE / "pizza.yaml", _settings()))
    show(compare(run, rows), run)


def rows_of(name: str) -> list[dict[str, Any]]:
    """The rows of a file beside this one."""
    return [json.loads(line) for line in (HERE / name).read_text("utf-8").splitlines()]


def compare(run: customize.Run, rows: list[dict[str, Any]]) -> customize.Evaluation:
    """The base, the base with the prompt that did best on the development rows, and the run."""
    print("Comparing on test rows that training never saw …")
    candidates = [row["prompt"] for row in rows_of("prompts.jsonl")]
    dev = rows_of("dev.jsonl")
    # Half of the general items, the same ones each time: QUICKSTART_GENERAL=300 asks all.
    general = int(os.environ.get("QUICKSTART_GENERAL", 150))
    return run.evaluate(rows, prompts=candidates, development=dev[::3], general=general)


def show(evaluation: customize.Evaluation, run: customize.Run) -> None:
    """The table, answers before and after, and what to try next."""
    Console().print(table(evaluation))
    for item in shown(evaluation):
        Console().print(side_by_side(item))
    assert run.folder is not None
    path = run.folder.path
    # The command of this environment, which the reader's shell may not know by name.
    command = os.path.relpath(Path(sys.executable).with_name("customize"))
    print(f"\nReport: {path / 'report.html'}\n\nTry next:")
    print(f'  {command} chat {path} --system "{SHOP}" \\\n    --message "How much is the Diavola?"')
    print(f"  {command} chat {path} --base     talk with the base instead")
    print(f"  {command} show {path}            what it was made of")


def shown(evaluation: customize.Evaluation, most: int = 3) -> list[Item]:
    """Rows to show: from all over those that came right, then others where too few did."""
    items = list(evaluation.items)
    better = [i for i in items if i.right("customized") and not i.right("base")]
    chosen = better[:: max(1, len(better) // most)][:most]
    others = [i for i in items if i not in chosen]
    return chosen + others[:: max(1, len(others) // most)][: most - len(chosen)]


def side_by_side(item: Item) -> Table:
    """A question above its answers before and after, each wrapped in its half of the width."""
    columns = Table(
        title=Text(f"\n{item.question}", style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        expand=True,
    )
    for when, column in (("before", "base"), ("after", "customized")):
        verdict = "right" if item.right(column) else "wrong"
        columns.add_column(f"{when} ({verdict})", ratio=1, overflow="fold")
    columns.add_row(*(Text(shorten(item.answers[c].text, 300)) for c in ("base", "customized")))
    return columns


def _settings() -> list[str]:
    place = os.environ.get("QUICKSTART_TO", "runs/pizza")
    steps = os.environ.get("QUICKSTART_STEPS")
    # It compares on test rows itself: once is enough.
    return [f"to={place}", "evaluate=false", *([f"options.steps={steps}"] if steps else [])]


if __name__ == "__main__":
    main()
