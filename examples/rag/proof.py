"""Teaches SmolLM2 to answer from documents, and measures it on businesses it never saw.

``python proof.py``; run again, it goes on where it was stopped. The figures of README.md are of
this script's run.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from asking import CHUNKING, FORM, Shelf, rows_of, written
from businesses import businesses, pairs
from encoder import TokenMeans
from rich.console import Console

import customize
from customize.evaluation.table import table
from customize.retrieval.fusion import FusedIndex

HERE = Path(__file__).parent
TO = Path(os.environ.get("RAG_TO", "runs/rag"))
# Questions to learn from; the largest is the one whose answers are compared with the base's.
SIZES = tuple(int(n) for n in os.environ.get("RAG_ROWS", "200,600,1200").split(","))
OPTIONS: dict[str, Any] = {
    **{"lr": 7e-4, "batch_size": 6, "per_context": 6, "near_miss": 0.2, "orders": 0.1},
    **{"chunk_tokens": CHUNKING.most_tokens, "k": FORM.k},
}
TEST = {
    **{"known": 30, "new": 40, "new fact": 15, "near miss": 32, "off topic": 8, "empty": 20},
    **{"changed": 30, "ordered": 20},
}
DEVELOPMENT = {"known": 15, "near miss": 5, "off topic": 2, "empty": 1}
SHELF = 40  # businesses whose documents are searched
SEARCHED = 150  # businesses whose questions the query adapter learns from


def main() -> None:
    """Train on more and more rows, and compare all of them with the base at its best."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    rows = test_rows()
    (TO / "retrieval.json").write_text(json.dumps(retrieval(rows)), "utf-8")
    runs = {size: trained(size) for size in SIZES}
    prompts = [json.loads(line)["prompt"] for line in _lines("prompts.jsonl")]
    evaluation = runs[SIZES[-1]].evaluate(
        rows,
        prompts=prompts,
        shots=(0, 1),
        development=development_rows(),
        against={f"{size} rows": runs[size] for size in SIZES[:-1]},
        scorers=["grounded", "leaks"],
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
    """Documents with questions enough, and the file of these."""
    some = businesses("train", max(40, num_rows // 5))
    folder = written(TO / "documents" / f"train-{num_rows}", some)
    file = TO / f"questions-{num_rows}.jsonl"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs(some)), "utf-8")
    return folder, file


def test_rows() -> list[Any]:
    """Questions about documents of the test; some again, changed or with orders."""
    place, some = TO / "documents", businesses("test", SHELF)
    again = {
        "changed": Shelf.of(place / "changed", businesses("test", SHELF, edition=1), FORM),
        "ordered": Shelf.of(place / "ordered", some, FORM, ordered=True),
    }
    return _shortened(rows_of(Shelf.of(place / "test", some, FORM), TEST, again))


def retrieval(rows: list[Any]) -> dict[str, Any]:
    """The rank of what answers each question, by words, with vectors, and with a query adapter.

    The adapter is trained on other businesses; then the documents of the index are swapped.
    """
    asked = [row for row in rows if row["kind"] == "answerable" and row["edition"] == "original"]
    encoder, place, some = TokenMeans(), TO / "documents", businesses("train", SEARCHED)
    folder = TO / "index"
    shutil.rmtree(folder, ignore_errors=True)
    customize.build_index(
        written(place / "searched", some), folder, chunking=CHUNKING, encoder=encoder
    )
    told = customize.adapt_index(folder, pairs(some), encoder)
    print(told)
    customize.update_index(folder, place / "test", encoder=encoder)
    adapted = customize.open_index(folder, encoder)
    assert isinstance(adapted, FusedIndex)
    indexes = {
        "words": adapted.words,
        "words and vectors": adapted.asked_by(encoder),
        "words, vectors and adapter": adapted,
    }
    return {"told": str(told), "ranks": {name: ranks(asked, i) for name, i in indexes.items()}}


def ranks(rows: list[Any], index: customize.Index) -> list[list[Any]]:
    """Business, wording and rank of the passage that answers, 0 where it is not among ten."""
    found = []
    for row in rows:
        hits = [hit.chunk for hit in index.search(row["question"], 10)]
        places = [
            place
            for place, chunk in enumerate(hits, start=1)
            if chunk.document == row["document"] and row["said"] in chunk.text
        ]
        found.append([row["business"], row["wording"], places[0] if places else 0])
    return found


def development_rows() -> list[Any]:
    """Questions to other businesses, to choose on."""
    shelf = Shelf.of(TO / "documents" / "dev", businesses("dev", SHELF), FORM)
    return _shortened(rows_of(shelf, DEVELOPMENT))


def _shortened(rows: list[Any]) -> list[Any]:
    most = int(os.environ.get("RAG_QUESTIONS", len(rows)))
    return rows[:: max(1, len(rows) // most)]


def _lines(name: str) -> list[str]:
    return (HERE / name).read_text("utf-8").splitlines()


if __name__ == "__main__":
    main()
