"""Writes what ``examples/traits/correct.py`` found into its README: ``python … runs/traits``.

So no figure there was typed by hand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten

from customize.evaluation.results import read
from customize.evaluation.statistics import Interval
from customize.evaluation.wording import points

README = Path(__file__).parents[1] / "examples" / "traits" / "README.md"
BEGIN = "<!-- results: written by docs/write_traits_table.py -->\n"
END = "<!-- end of results -->\n"
_KEPT = {"pass": "kept", "fail": "**harmed**", "inconclusive": "not ruled out"}


def main(folder: Path) -> None:
    """Replace what lies between the two marks."""
    found = sorted(file.parent for file in folder.glob("*/verdict.json"))
    if not found:
        raise SystemExit(f"{folder} holds no verdict: run examples/traits/correct.py first")
    text = "\n".join([*_verdicts(found, folder), "", *_others(found), "", *_answers(found)])
    before, rest = README.read_text("utf-8").split(BEGIN)
    _, after = rest.split(END)
    README.write_text(f"{before}{BEGIN}{text.rstrip()}\n{END}{after}", "utf-8")


def _verdicts(found: list[Path], folder: Path) -> Iterator[str]:
    seconds = json.loads((folder / "seconds.json").read_text("utf-8"))
    yield "| trait | shown before, % | shown now, % | verdict | pairs | seconds |"
    yield "|---|---|---|---|---|---|"
    for one in found:
        verdict = json.loads((one / "verdict.json").read_text("utf-8"))
        rates = (points(Interval(**verdict[when])) for when in ("before", "after"))
        pairs = len((one / "pairs.jsonl").read_text("utf-8").splitlines())
        told = f"{verdict['verdict']}, {verdict['harm']}"
        yield f"| {one.name} | {' | '.join(rates)} | {told} | {pairs} | {seconds[one.name]:.0f} |"


def _others(found: list[Path]) -> Iterator[str]:
    verdicts = {one.name: json.loads((one / "verdict.json").read_text("utf-8")) for one in found}
    names = dict.fromkeys(name for verdict in verdicts.values() for name in verdict["others"])
    yield f"| beside | {' | '.join(verdicts)} |"
    yield f"|---|{'---|' * len(verdicts)}"
    for name in names:
        cells = [_cell(verdict["others"].get(name)) for verdict in verdicts.values()]
        yield f"| {name} | {' | '.join(cells)} |"


def _cell(gate: dict[str, str] | None) -> str:
    if gate is None:
        return ""
    _, _, gain = gate["told"].partition(": a gain of ")
    return f"{_KEPT[gate['verdict']]}; {gain.partition(';')[0] or gate['told']}"


def _answers(found: list[Path]) -> Iterator[str]:
    for one in found:
        evaluation = read(one / "run" / "eval")
        mine = [item for item in evaluation.items if item.slices["part"] == one.name]
        for item in mine[:: max(1, len(mine) // 2)][:2]:
            yield f"> **{item.question}**"
            for column in ("before", "after"):
                said = shorten(" ".join(item.answers[column].text.split()), 220)
                yield f"> <br>{column}: {said}"
            yield ""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
