"""The listing as JSON, for scripts. Keys and codes are added, never changed or taken away."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from customize import __version__
from customize.plugins.limits import VARIABLE
from customize.plugins.registry import PluginRow

SCHEMA = 1
# What each key holds; the reference page is made of it.
KEYS = {
    "schema": "The number of this schema, 1.",
    "customize": "The version of customize.",
    "limit": "The value of CUSTOMIZE_PLUGINS, or null where it is not set.",
    "left_out": "Names of the installed plugins that it left out.",
    "plugins[].distribution": "The distribution's name, in lower case with dashes.",
    "plugins[].version": "Its version.",
    "plugins[].home_page": "Its home page, or null where it names none.",
    "plugins[].milliseconds": "What listing it took.",
    "plugins[].provides[].kind": "method, backend and so on.",
    "plugins[].provides[].name": "The name to use.",
    "plugins[].provides[].full_name": "The name that no other plugin has, distribution:name.",
    "plugins[].provides[].summary": "One line.",
    "plugins[].faults[].severity": (
        "error: what it provides cannot be relied on. warning: it works all the same."
    ),
    "plugins[].faults[].code": "What is wrong, as one of the codes of faults.",
    "plugins[].faults[].message": "What is wrong, in words, which may change.",
    "plugins[].faults[].fix": "What to do, in words, which may change.",
}


def listing_as_json(rows: Sequence[PluginRow], left_out: Sequence[str]) -> dict[str, Any]:
    """JSON values with the keys of ``KEYS``."""
    return {
        "schema": SCHEMA,
        "customize": __version__,
        "limit": os.environ.get(VARIABLE),
        "left_out": list(left_out),
        "plugins": [_row(row) for row in rows],
    }


def _row(row: PluginRow) -> dict[str, Any]:
    return {
        "distribution": row.distribution,
        "version": row.version,
        "home_page": row.home_page,
        "milliseconds": row.milliseconds,
        "provides": [
            {
                "kind": spec.kind,
                "name": spec.name,
                "full_name": f"{row.distribution}:{spec.name}",
                "summary": spec.summary,
            }
            for spec in row.specs
        ],
        "faults": [
            {
                "severity": fault.severity,
                "code": fault.code,
                "message": fault.message,
                "fix": fault.fix,
            }
            for fault in row.faults
        ],
    }
