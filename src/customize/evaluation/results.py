"""An evaluation on disk: results.json, items.jsonl, junit.xml. Knows no page and no run.

results.json has the key ``schema``, which grows when a reader of the one before would be wrong.
What is not finite, such as an interval's end that is not known, is null in all of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import attrs

from customize._errors import DataError
from customize._files import replace_text
from customize.evaluation.cost import Cost
from customize.evaluation.evaluation import Evaluation, GateResult
from customize.evaluation.item import Item
from customize.evaluation.measures import estimate
from customize.evaluation.scoring import Fault
from customize.evaluation.statistics import Interval

SCHEMA = 4
RESULTS, ITEMS, JUNIT = "results.json", "items.jsonl", "junit.xml"


def write(evaluation: Evaluation, folder: Path) -> None:
    """All three files, each put in place whole; where ``results.json`` is, the others are too."""
    folder.mkdir(parents=True, exist_ok=True)
    suites = {"rows": evaluation, "general": evaluation.general}
    lines = [
        _json({"suite": suite, **item.to_json()})
        for suite, of in suites.items()
        for item in (of.items if of else ())
    ]
    replace_text(folder / ITEMS, "".join(f"{line}\n" for line in lines))
    replace_text(folder / JUNIT, junit(evaluation))
    replace_text(folder / RESULTS, _json(to_json(evaluation), indent=1) + "\n")


def read(folder: Path) -> Evaluation:
    """What ``write`` wrote.

    Raises:
        DataError: it is not there, or of another version of the schema.
    """
    file = folder / RESULTS
    if not file.is_file():
        raise DataError(f"{folder} holds no evaluation: customize evaluate makes one")
    value = json.loads(file.read_text("utf-8"))
    if value["schema"] != SCHEMA:
        raise DataError(
            f"{file} has the schema {value['schema']}, and this version reads {SCHEMA}: "
            "evaluate again"
        )
    of_suite: dict[str, list[Item]] = {"rows": [], "general": []}
    for line in (folder / ITEMS).read_text("utf-8").splitlines():
        item = json.loads(line)
        of_suite[item.pop("suite")].append(Item.from_json(item))
    general = value["general"] and _from_json(value["general"], of_suite["general"], None)
    return _from_json(value, of_suite["rows"], general)


def _from_json(value: dict[str, Any], items: list[Item], general: Evaluation | None) -> Evaluation:
    return Evaluation(
        columns=tuple(value["columns"]),
        items=tuple(items),
        new=value["new"],
        rival=value["rival"],
        told=value["columns"],
        metric_names=tuple(value["metrics"]),
        lower_is_better=frozenset(value["lower_is_better"]),
        summaries={
            figure: {column: _interval(**one) for column, one in found.items()}
            for figure, found in value["summaries"].items()
        },
        faults=tuple(Fault(**fault) for fault in value["faults"]),
        notes=tuple(value["notes"]),
        general=general,
        costs={column: Cost(**cost) for column, cost in value["costs"].items()},
        decisions=tuple(value["decisions"]),
        gates=tuple(GateResult(**gate) for gate in value["gates"]),
    )


def _interval(estimate: float | None, low: float | None, high: float | None) -> Interval:
    """As it was before what is not finite became null."""
    return Interval(
        math.nan if estimate is None else estimate,
        -math.inf if low is None else low,
        math.inf if high is None else high,
    )


def _json(value: object, indent: int | None = None) -> str:
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    """The same with null for each number that JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """Everything but the items, as JSON values; numbers may be infinite, or none."""
    return {
        "schema": SCHEMA,
        "columns": dict(evaluation.told),
        "new": evaluation.new,
        "rival": evaluation.rival,
        "num_items": len(evaluation.items),
        "verdict": evaluation.verdict(),
        "gates": [attrs.asdict(gate) for gate in evaluation.gates],
        "metrics": list(evaluation.metric_names),
        "lower_is_better": sorted(evaluation.lower_is_better),
        "estimates": {
            metric: {column: _by_slice(evaluation, metric, column) for column in evaluation.columns}
            for metric in evaluation.metric_names
        },
        "changes": [attrs.asdict(change) for change in evaluation.changes],
        "contamination": {
            "clean": _apart(evaluation, evaluation.clean),
            "contaminated": _apart(evaluation, evaluation.contaminated),
        },
        "variances": _variances(evaluation),
        "summaries": {
            figure: {column: attrs.asdict(one) for column, one in found.items()}
            for figure, found in evaluation.summaries.items()
        },
        "general": None if evaluation.general is None else to_json(evaluation.general),
        "costs": {column: attrs.asdict(cost) for column, cost in evaluation.costs.items()},
        "decisions": list(evaluation.decisions),
        "faults": [attrs.asdict(fault) for fault in evaluation.faults],
        "notes": list(evaluation.notes),
    }


def junit(evaluation: Evaluation) -> str:
    """Gates as test cases for a CI server; one that is inconclusive is skipped, and says why."""
    gates = evaluation.gates
    suite = ElementTree.Element("testsuite", name="customize evaluate", tests=str(len(gates)))
    suite.set("failures", str(sum(gate.verdict == "fail" for gate in gates)))
    suite.set("skipped", str(sum(gate.verdict == "inconclusive" for gate in gates)))
    for gate in gates:
        case = ElementTree.SubElement(suite, "testcase", name=gate.gate, classname="gate")
        if gate.verdict != "pass":
            kind = "failure" if gate.verdict == "fail" else "skipped"
            ElementTree.SubElement(case, kind, message=gate.told)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _by_slice(evaluation: Evaluation, metric: str, column: str) -> dict[str, Any]:
    found = {
        slice or "all": estimate(evaluation.of(slice), metric, column)
        for slice in (None, *evaluation.slices)
    }
    return {slice: attrs.asdict(one) for slice, one in found.items() if one is not None}


def _apart(evaluation: Evaluation, items: Sequence[Item]) -> dict[str, Any]:
    """How many there are, and each metric's estimate on them by column."""
    estimates = {
        metric: {
            column: attrs.asdict(found)
            for column in evaluation.columns
            if (found := estimate(items, metric, column)) is not None
        }
        for metric in evaluation.metric_names
    }
    return {"num_items": len(items), "estimates": estimates}


def _variances(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """By metric and column, where several answers a row were drawn."""
    found = {
        metric: {column: evaluation.variance(column, metric) for column in evaluation.columns}
        for metric in evaluation.metric_names
    }
    return {
        metric: {column: attrs.asdict(one) for column, one in of.items() if one is not None}
        for metric, of in found.items()
        if any(of.values())
    }
