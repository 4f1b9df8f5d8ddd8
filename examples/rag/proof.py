"""Teaches SmolLM2 to answer from documents, and measures it on businesses it never saw.

``python proof.py``; run again, it goes on where it was stopped. The figures of README.md are of
this script's run.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from asking import CHUNKING, Shelf, rows_of, written
from businesses import businesses, pairs
from rich.console import Console

import customize
from customize.evaluation.table import table

HERE = Path(__file__).parent
TO = Path(os.environ.get("RAG_TO", "runs/rag"))
# Rows to learn from; the largest is the one whose answers are compared with the base's.
SIZES = tuple(int(n) for n in os.environ.get("RAG_ROWS", "240").split(","))
OPTIONS: dict[str, Any] = {
    **{"lr": 1.5e-3, "batch_size": 4, "turns": 10},
    "chunk_tokens": CHUNKING.most_tokens,
}
TEST = {
    **{"known": 25, "new": 35, "new fact": 15, "near miss": 32, "off topic": 8, "empty": 5},
    **{"changed": 30, "ordered": 15},
}
DEVELOPMENT = {"known": 15, "near miss": 5, "off topic": 2, "empty": 1}
SHELF = 40  # businesses whose documents are searched


def main() -> None:
    """Train on more and more rows, and compare all of them with the base at its best."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    rows = test_rows()
    (TO / "ranks.json").write_text(json.dumps(ranks(rows)), "utf-8")
    runs = {size: trained(size) for size in SIZES}
    prompts = [json.loads(line)["prompt"] for line in _lines("prompts.jsonl")]
    evaluation = runs[SIZES[-1]].evaluate(
        rows,
        prompts=prompts,
        shots=(0, 1),
        development=development_rows(),
        against={f"{size} rows": runs[size] for size in SIZES[:-1]},
        scorers=["grounded"],
        slices=("kind", "wording", "edition"),
        cluster="business",
        max_tokens=64,
    )
    Console().print(table(evaluation))


def trained(num_rows: int) -> customize.Run:
    """The run on so many rows; the seconds that it took are beside it."""
    folder = TO / f"{num_rows}-rows"
    documents, questions = material(num_rows)
    begun = time.monotonic()
    run = customize.train(
        model="smollm2",
        data=documents,
        to=folder,
        method="rag",
        options={**OPTIONS, "questions": str(questions), "max_rows": num_rows},
    )
    file = folder / "seconds.json"
    if not file.is_file():
        file.write_text(json.dumps(time.monotonic() - begun), "utf-8")
    return run


def material(num_rows: int) -> tuple[Path, Path]:
    """The documents of about a business a row, and the file of questions about them."""
    some = businesses("train", num_rows)
    folder = written(TO / "documents" / f"train-{num_rows}", some)
    file = TO / f"questions-{num_rows}.jsonl"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs(some)), "utf-8")
    return folder, file


def test_rows() -> list[Any]:
    """Questions about documents of the test; some again, changed or with orders."""
    form, some = customize.Grounding(), businesses("test", SHELF)
    place = TO / "documents"
    again = {
        "changed": Shelf.of(place / "changed", businesses("test", SHELF, edition=1), form),
        "ordered": Shelf.of(place / "ordered", some, form, ordered=True),
    }
    return _shortened(rows_of(Shelf.of(place / "test", some, form), TEST, again))


def ranks(rows: list[Any]) -> list[list[Any]]:
    """Business, wording and rank of the passage that answers, 0 where it was not found."""
    return [
        [row["business"], row["wording"], row["supporting"][0] if row["supporting"] else 0]
        for row in rows
        if row["kind"] == "answerable"
    ]


def development_rows() -> list[Any]:
    """Questions to other businesses, to choose on."""
    shelf = Shelf.of(TO / "documents" / "dev", businesses("dev", SHELF), customize.Grounding())
    return _shortened(rows_of(shelf, DEVELOPMENT))


def _shortened(rows: list[Any]) -> list[Any]:
    most = int(os.environ.get("RAG_QUESTIONS", len(rows)))
    return rows[:: max(1, len(rows) // most)]


def _lines(name: str) -> list[str]:
    return (HERE / name).read_text("utf-8").splitlines()


if __name__ == "__main__":
    main()
