"""What customize itself offers of the kinds that plugins offer. Names and import strings alone."""

from __future__ import annotations

from collections.abc import Mapping

DISTRIBUTION = "customize"
_SCORERS = "customize.evaluation.scorers"
BUILT_IN: Mapping[str, Mapping[str, str]] = {
    "index": {"sqlite": "customize.retrieval.sqlite_index:SqliteIndex"},
    "scorer": {
        "equals": f"{_SCORERS}.texts:Equals",
        "exact": f"{_SCORERS}.texts:Exact",
        "includes": f"{_SCORERS}.texts:Includes",
        "excludes": f"{_SCORERS}.texts:Excludes",
        "matches": f"{_SCORERS}.texts:Matches",
        "avoids": f"{_SCORERS}.texts:Avoids",
        "max_words": f"{_SCORERS}.texts:MaxWords",
        "number": f"{_SCORERS}.numbers:Number",
        "json_schema": f"{_SCORERS}.json_schema:JsonSchema",
        "tool_calls": f"{_SCORERS}.tool_calls:ToolCalls",
        "token_f1": f"{_SCORERS}.overlap:TokenF1",
        "rouge_l": f"{_SCORERS}.overlap:RougeL",
        "choice": f"{_SCORERS}.likelihood:Choice",
        "perplexity": f"{_SCORERS}.likelihood:Perplexity",
        "calibration": f"{_SCORERS}.calibration:Calibration",
        "abstention": f"{_SCORERS}.refusals:Abstention",
        "refuses": f"{_SCORERS}.refusals:Refuses",
        "citations": f"{_SCORERS}.citations:Citations",
        "leaks": f"{_SCORERS}.leaks:Leaks",
        "degeneration": f"{_SCORERS}.degeneration:Degeneration",
    },
}


def target_of(kind: str, name: str) -> str | None:
    """The import string behind ``name`` or ``customize:name``, or None."""
    distribution, _, short = name.rpartition(":")
    return BUILT_IN.get(kind, {}).get(short) if distribution in ("", DISTRIBUTION) else None
