"""Indexes beside one another: milliseconds of a search, chunks built a second, memory, disk.

``python retrieval.py`` builds an index of the same generated chunks in every engine, each in a
process of its own, in turns, and writes ``retrieval_results.json`` and ``RETRIEVAL_RESULTS.md``
beside this file. Nothing else may be at work on the machine. It needs customize-tantivy and
customize-lancedb; CHUNKS=2000 tries it small.
"""

from __future__ import annotations

import json
import os
import tempfile

import race
from race import Contestant, Figure, Laps, Results

CHUNKS = int(os.environ.get("CHUNKS", "100000"))
CONTESTANTS = {
    "SQLite FTS5, the default": Contestant("index_times.py", {"engine": "sqlite"}),
    "vectors alone, flat": Contestant("index_times.py", {"engine": "vectors"}),
    "SQLite and vectors, fused": Contestant("index_times.py", {"engine": "fused"}),
    "Tantivy": Contestant("index_times.py", {"engine": "tantivy"}),
    "LanceDB": Contestant("index_times.py", {"engine": "lancedb"}),
}
FIGURES = (
    Figure("p50_ms", "search p50, ms", ".1f"),
    Figure("p95_ms", "p95, ms", ".1f"),
    Figure("filtered_p95_ms", "with a filter p95, ms", ".1f"),
    Figure("hit_at_10", "hit@10", ".2f"),
    Figure("first_search_ms", "first search, ms", ".1f"),
    Figure("chunks_per_second", "chunks built and saved/s", ",.0f"),
    Figure("save_seconds", "of that saved, s", ".1f"),
    Figure("add_seconds", "1 % more, s", ".2f"),
    Figure("delete_seconds", "1 % deleted, s", ".2f"),
    Figure("save_changed_seconds", "saved anew, s", ".1f"),
    Figure("load_seconds", "loaded, s", ".2f"),
    Figure("disk_mb", "on disk, MB", ".0f"),
    race.PEAK,
)
PACKAGES = ("customize", "numpy", "tantivy", "lancedb")
# By contestant: its figure, whether it is to be at most (else at least) the number, and that.
Aim = tuple[str, str, float]
_FAST: Aim = ("chunks_per_second", "at least", 20_000.0)


def _quick(most_ms: float) -> tuple[Aim, ...]:
    """Also with a filter, as every search by an asker is."""
    return tuple((key, "at most", most_ms) for key in ("p95_ms", "filtered_p95_ms"))


AIMS = {
    "SQLite FTS5, the default": (*_quick(20.0), _FAST),
    "Tantivy": (*_quick(3.0), _FAST),
}


def main() -> None:
    """Measure and write down."""
    with tempfile.TemporaryDirectory() as folder:
        asked = {"work": folder, "chunks": CHUNKS}
        _, found = race.take_turns(CONTESTANTS, asked, _summary, PACKAGES)
    found["chunks"] = CHUNKS
    (race.HERE / "retrieval_results.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    (race.HERE / "RETRIEVAL_RESULTS.md").write_text(_page(found), "utf-8")
    print(_page(found))


def _summary(laps: Laps) -> dict[str, float]:
    return {figure.key: laps[figure.key] for figure in FIGURES}


def _page(found: Results) -> str:
    lines = [
        "# Indexes of documents",
        "",
        f"Written by `retrieval.py`: {found['chunks']:,} chunks of 20 to 60 words that are drawn",
        "from 30,000 by Zipf's law (1.05), a third of them for some askers alone; 200 questions of",
        "six words of a chunk, asked one after the other for ten hits, and 200 others with the",
        "filter of an asker without tags. Vectors are random, of 384 numbers, and a question's is",
        "its chunk's with noise; making them is left out.",
        "By default the product cuts chunks several times as long, and how many a second are built",
        "and how long a search takes depend on their length: these figures are of short ones.",
        "Chunks built and saved a second are of one call that adds them and one that saves them;",
        "an index is saved anew after the deletion, and the first search is of it just loaded.",
        _rounds(found["rounds"]),
        "",
        f"| engine | {' | '.join(figure.head for figure in FIGURES)} |",
        "|---" * (len(FIGURES) + 1) + "|",
    ]
    for name in CONTESTANTS:
        cells = " | ".join(f"{found[name][key]:{form}}" for key, _, form in FIGURES)
        lines.append(f"| {name} | {cells} |")
    lines += ["", "Aims:", "", *_aims(found), *race.made_with({"all": found})]
    return "\n".join(lines) + "\n"


def _rounds(count: int) -> str:
    if count == 1:
        return "One round, each engine in a process of its own."
    return f"Medians over {count} rounds: the engines take turns, each in a process of its own."


def _aims(found: Results) -> list[str]:
    heads = {figure.key: (figure.head, figure.form) for figure in FIGURES}
    lines = []
    for name, aims in AIMS.items():
        for key, bound, number in aims:
            its, (head, form) = found[name][key], heads[key]
            reached = its <= number if bound == "at most" else its >= number
            verdict = "reached" if reached else "not reached"
            lines.append(f"* {name}, {head}: {bound} {number:{form}}, is {its:{form}}: {verdict}")
    return lines


if __name__ == "__main__":
    main()
