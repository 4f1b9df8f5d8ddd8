"""What tests of a plan plan: a recipe on the tiny model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from customize.training.recipe import Recipe
from customize.training.recipe_making import make_recipe


def write_rows(path: Path, num: int) -> None:
    lines = [
        json.dumps({"prompt": f"ask {n} " + "more " * (n % 5), "completion": "yes"})
        for n in range(num)
    ]
    path.write_text("\n".join(lines) + "\n")


def made(recipe: Mapping[str, Any], **changed: Any) -> Recipe:
    return make_recipe({**recipe, **changed}, what="a test")
