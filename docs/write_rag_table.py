"""Writes what ``examples/rag/proof.py`` found into its README: ``python … runs/rag``.

So no figure there was typed by hand.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from customize.evaluation.evaluation import Evaluation
from customize.evaluation.item import Item
from customize.evaluation.measures import estimate
from customize.evaluation.remarks import remarks
from customize.evaluation.results import read
from customize.evaluation.statistics import Interval, cluster_numbers, mean, rate
from customize.evaluation.wording import amount, points

README = Path(__file__).parents[1] / "examples" / "rag" / "README.md"
BEGIN = "<!-- results: written by docs/write_rag_table.py -->\n"
END = "<!-- end of results -->\n"

COMPARED = ("base", "prompted", "customized")

Chosen = Callable[[Item], bool]


def main(folder: Path) -> None:
    """Replace what lies between the two marks."""
    runs = sorted(folder.glob("*-rows"), key=_num_rows)
    if not runs or not (runs[-1] / "eval" / "results.json").is_file():
        raise SystemExit(f"{folder} holds no evaluation: run examples/rag/proof.py first")
    evaluation = read(runs[-1] / "eval")
    found = json.loads((folder / "retrieval.json").read_text("utf-8"))
    parts = (
        *(_comparison(evaluation), _aims(evaluation), _curve(runs, evaluation)),
        *(_retrieval(found), _answers(evaluation)),
    )
    text = "\n".join(line for part in parts for line in (*part, ""))
    before, rest = README.read_text("utf-8").split(BEGIN)
    _, after = rest.split(END)
    README.write_text(f"{before}{BEGIN}{text.rstrip()}\n{END}{after}", "utf-8")


def _num_rows(run: Path) -> int:
    return int(run.name.removesuffix("-rows"))


def _kind(kind: str, edition: str = "original") -> Chosen:
    return lambda item: item.slices["kind"] == kind and item.slices["edition"] == edition


def _wording(*wordings: str) -> Chosen:
    return lambda item: item.slices["wording"] in wordings and item.slices["edition"] == "original"


# What is measured, on which items, and by which score.
MEASURES: Sequence[tuple[str, Chosen, str]] = (
    ("answer contained", _kind("answerable"), "grounded.contained"),
    ("… asked and told in known words", _wording("known"), "grounded.contained"),
    ("… in words never trained", _wording("new"), "grounded.contained"),
    ("… about facts never trained", _wording("new fact"), "grounded.contained"),
    ("right passage cited", _kind("answerable"), "grounded.citation_recall"),
    ("… in words never trained", _wording("new"), "grounded.citation_recall"),
    ("citations that are right", _kind("answerable"), "grounded.citation_precision"),
    ("quotes that are verbatim", _kind("answerable"), "grounded.verbatim"),
    ("changed documents: answer contained", _kind("answerable", "changed"), "grounded.contained"),
    (
        "documents that give orders: answer contained",
        _kind("answerable", "ordered"),
        "grounded.contained",
    ),
    (
        "documents that give orders: obeyed",
        _kind("answerable", "ordered"),
        "leaks.obeyed",
    ),
    ("abstains: near miss", _kind("near miss"), "grounded.abstains"),
    ("abstains: off topic", _kind("off topic"), "grounded.abstains"),
    ("abstains: no passage", _kind("empty"), "grounded.abstains"),
)


def _comparison(evaluation: Evaluation) -> Iterator[str]:
    columns = [column for column in COMPARED if column in evaluation.columns]
    yield f"| {len(evaluation.items)} test rows, % | rows | {' | '.join(columns)} |"
    yield f"|---|---|{'---|' * len(columns)}"
    for name, chosen, metric in MEASURES:
        items = [item for item in evaluation.items if chosen(item)]
        cells = (_told(estimate(items, metric, column)) for column in columns)
        yield f"| {name} | {len(items)} | {' | '.join(cells)} |"
    twins = [item for item in evaluation.items if item.slices["kind"] == "empty"]
    ignored = (_told(rate(_ignores(evaluation, twins, column))) for column in columns)
    yield f"| the same answer without passages | {len(twins)} | {' | '.join(ignored)} |"
    for part in ("precision", "recall"):
        summary = evaluation.summaries[f"grounded.{part}"]
        cells = (_told(summary.get(column)) for column in columns)
        yield f"| abstention, {part} | {len(evaluation.items)} | {' | '.join(cells)} |"
    right = (_told(estimate(evaluation.items, "right", column)) for column in columns)
    yield f"| all rows right | {len(evaluation.items)} | {' | '.join(right)} |"
    yield ""
    yield from (f"* {told}" for told in remarks(evaluation))


# What was aimed at, in per cent, of which items, by which score.
AIMS: Sequence[tuple[str, int, Chosen, str]] = (
    ("answer contained", 90, _kind("answerable"), "grounded.contained"),
    ("answer contained, in words never trained", 85, _wording("new"), "grounded.contained"),
    ("right passage cited", 90, _kind("answerable"), "grounded.citation_recall"),
    (
        "right passage cited, in words never trained",
        85,
        _wording("new"),
        "grounded.citation_recall",
    ),
    ("changed documents followed", 90, _kind("answerable", "changed"), "grounded.contained"),
)
AIMED_OF_ABSTENTION = 85


def _aims(evaluation: Evaluation) -> Iterator[str]:
    for name, aim, chosen, metric in AIMS:
        items = [item for item in evaluation.items if chosen(item)]
        yield _aim(name, aim, estimate(items, metric, "customized"))
    for part in ("precision", "recall"):
        interval = evaluation.summaries[f"grounded.{part}"]["customized"]
        yield _aim(f"abstention, {part}", AIMED_OF_ABSTENTION, interval)


def _aim(what: str, aim: int, interval: Interval | None) -> str:
    assert interval is not None
    told = "reached" if 100 * interval.estimate >= aim else "missed"
    return f"* {what}, aimed at {aim}: {told}, {_told(interval)}"


def _ignores(
    evaluation: Evaluation, twins: Sequence[Item], column: str
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """1 where the answer without passages is the one with them."""
    by_id = {item.id: item for item in evaluation.items}
    pairs = [(item, by_id[item.id.removeprefix("empty-")]) for item in twins]
    said = [(a.answers[column].text, b.answers[column].text) for a, b in pairs]
    return np.array([float(one == other) for one, other in said])


def _told(interval: Interval | None) -> str:
    if interval is None or math.isnan(interval.estimate):
        return "none"
    if math.isnan(interval.low):
        return f"{100 * interval.estimate:.0f}"
    return points(interval)


def _curve(runs: Sequence[Path], evaluation: Evaluation) -> Iterator[str]:
    yield (
        "| questions | sets of passages | tokens | seconds | answer contained "
        "| right passage cited | words never trained: contained | cited | abstention P | R |"
    )
    yield f"|---|---|---|---|{'---|' * 6}"
    for run in runs:
        column = "customized" if run == runs[-1] else f"{_num_rows(run)} rows"
        rows = [json.loads(line) for line in (run / "rows.jsonl").read_text("utf-8").splitlines()]
        contexts = len({row["together"] for row in rows} - {None})
        steps = map(json.loads, (run / "metrics.jsonl").read_text("utf-8").splitlines())
        tokens = sum(step["tokens"] for step in steps)
        seconds = json.loads((run / "seconds.json").read_text("utf-8"))
        figures = " | ".join(_figures(evaluation, column))
        yield f"| {len(rows)} | {contexts} | {tokens:,.0f} | {seconds:.0f} | {figures} |"


def _figures(evaluation: Evaluation, column: str) -> Iterator[str]:
    for chosen in (_kind("answerable"), _wording("new")):
        items = [item for item in evaluation.items if chosen(item)]
        for metric in ("grounded.contained", "grounded.citation_recall"):
            yield _told(estimate(items, metric, column))
    for part in ("precision", "recall"):
        yield _told(evaluation.summaries[f"grounded.{part}"].get(column))


def _retrieval(found: Mapping[str, Any]) -> Iterator[str]:
    yield "| retrieval | questions | n | hit@1 | hit@2 | MRR@10 | nDCG@10 |"
    yield "|---|---|---|---|---|---|---|"
    for name, ranks in found["ranks"].items():
        for wording in ("all", "known", "new", "new fact"):
            some = [one for one in ranks if wording in ("all", one[1])]
            yield f"| {name} | {wording} | {len(some)} | {' | '.join(_figures_of(some))} |"
    words, *others = found["ranks"]
    for name in others:
        yield ""
        yield f"{name} less {words}: MRR {_gain(found['ranks'][name], found['ranks'][words])}."
    yield ""
    yield f"In training: {found['told']}."


def _figures_of(ranks: Sequence[Sequence[Any]]) -> Iterator[str]:
    of, rank = _businesses(ranks), np.array([one[2] for one in ranks], np.float64)
    found, safe = rank > 0, np.where(rank > 0, rank, 1)
    for top in (1, 2):
        yield points(rate((found & (rank <= top)).astype(np.float64), of))
    yield amount(mean(np.where(found, 1 / safe, 0.0), of).within(0, 1))
    yield amount(mean(np.where(found, 1 / np.log2(1 + safe), 0.0), of).within(0, 1))


def _gain(new: Sequence[Sequence[Any]], old: Sequence[Sequence[Any]]) -> str:
    """Paired, in reciprocal ranks."""
    by = [np.array([1 / one[2] if one[2] else 0.0 for one in ranks]) for ranks in (new, old)]
    return amount(mean(by[0] - by[1], _businesses(new)))


def _businesses(ranks: Sequence[Sequence[Any]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return cluster_numbers([one[0] for one in ranks])


def _answers(evaluation: Evaluation) -> Iterator[str]:
    for chosen in (_wording("known"), _wording("new"), _kind("near miss")):
        items = [item for item in evaluation.items if chosen(item)]
        for item in items[:: max(1, len(items) // 2)][:2]:
            yield f"> **{item.question.rpartition('Question: ')[2]}**"
            for column in (c for c in COMPARED if c in evaluation.columns):
                said = " / ".join(item.answers[column].text.splitlines())
                yield f"> <br>{column}: {said[:240]}"
            yield ""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
