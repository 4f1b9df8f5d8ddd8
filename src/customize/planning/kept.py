"""Plans made before their runs, until these are finished and held against them. Plans nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from customize._files import replace_text
from customize.models.cache import cache_root
from customize.planning.plan import Plan
from customize.training.recipe import UNDECIDING

_KEPT = 100  # of the newest
Kept = Mapping[str, Any]  # a plan as JSON values


def keep(plan: Plan) -> None:
    """In place of an earlier one for the same run."""
    _write([*_others(plan), (_name(plan), plan.to_dict())])


def kept(plan: Plan) -> Kept | None:
    """What was kept for the run that ``plan`` is of."""
    found = dict(_read())
    return next((found[name] for name in _names(plan) if name in found), None)


def forget(plan: Plan) -> None:
    """When the run has it."""
    _write(_others(plan))


def deciding(recipe: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keys that change what a run does; a backend is held to what it settled on."""
    ignored = set(UNDECIDING) - {"evaluate"}
    return {key: value for key, value in recipe.items() if key not in ignored}


def _name(plan: Plan) -> str:
    """Of what a plan and its run share, as far as the plan knows it."""
    return _names(plan)[any(stage.is_glimpsed for stage in plan.stages)]


def _names(plan: Plan) -> tuple[str, str]:
    """By its rows, and without them, as a plan that only had a glimpse of them is kept."""
    return _named(plan, [stage.data for stage in plan.stages]), _named(plan, None)


def _named(plan: Plan, rows: list[str | None] | None) -> str:
    to = str(Path(plan.recipe["to"]).absolute())
    shared = [to, deciding(plan.recipe), rows, plan.machine, dict(plan.numerics)]
    return hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()


def _others(plan: Plan) -> list[tuple[str, Kept]]:
    return [(name, one) for name, one in _read() if name not in _names(plan)]


def _file() -> Path:
    return cache_root() / "planning" / "plans.json"


def _read() -> list[tuple[str, Kept]]:
    try:
        found = json.loads(_file().read_text("utf-8"))
    except (OSError, ValueError):
        return []
    return [*found.items()] if isinstance(found, dict) else []


def _write(plans: list[tuple[str, Kept]]) -> None:
    _file().parent.mkdir(parents=True, exist_ok=True)
    replace_text(_file(), json.dumps(dict(plans[-_KEPT:])))
