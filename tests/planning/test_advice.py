"""What makes a recipe fit that does not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from click.testing import CliRunner

from customize import (
    LoRA,
    Smaller,
    option,
    options,
    plan,
)
from customize.cli.plan_command import command
from customize.planning.advice import NOTHING_HELPS, Way, advice
from customize.testing import ToyBackend
from customize.training.recipe import Recipe
from customize.training.recipe_file import parse_settings
from customize.training.recipe_making import make_recipe

pytest.importorskip("customize_sft")
CPU = pytest.importorskip("customize_torch.backend").CPU


def made(recipe: Mapping[str, Any], **changed: Any) -> Recipe:
    return make_recipe({**recipe, **changed}, what="a test")


def given(recipe: Mapping[str, Any], advice: str | None) -> Recipe:
    """The recipe with the settings of a plan's advice, as a person would give them."""
    assert advice is not None
    settings = re.findall(r"--set (?:'([^']+)'|([^ :]+))", advice)
    changed = parse_settings([quoted or plain for quoted, plain in settings])
    adapter = changed.get("adapter", recipe.get("adapter", {}))
    options = {**recipe["backend_options"], **changed.get("backend_options", {})}
    return made(recipe, adapter=adapter, backend_options=options)


def test_where_memory_is_short_the_advice_is_what_makes_it_fit_and_costs_least(
    recipe: Mapping[str, Any], room: list[float]
) -> None:
    whole = plan(made(recipe))
    assert whole.advice is None
    room[0] = whole.num_bytes - 1e3
    told = plan(made(recipe)).advice
    largest = whole.stages[0].largest
    assert told == (
        f"--set backend=cpu --set backend_options.token_budget={largest}: "
        "the same result, a little slower"
    )
    seen = []
    for _ in range(20):
        fitting = plan(given(recipe, told))
        assert fitting.advice is None
        room[0] = fitting.num_bytes - 1e3
        told = plan(made(recipe)).advice
        assert told is not None
        if "rows of" in told or told == NOTHING_HELPS:
            break
        seen.append(told)
    assert "recompute=always" in seen[0]
    assert any("adapter.rank=4: a smaller adapter" in one for one in seen)
    assert f"rows of {largest // 2} tokens at most: the longest has {largest}" in told
    room[0] = 1.0
    assert plan(made(recipe)).advice == NOTHING_HELPS


def test_lora_is_advised_in_place_of_all_weights(
    recipe: Mapping[str, Any], room: list[float]
) -> None:
    all_weights = {**recipe, "adapter": "full"}
    least = {"token_budget": 1, "recompute": "always"}
    all_weights["backend_options"] = {**recipe["backend_options"], **least}
    room[0] = plan(made(all_weights)).num_bytes - 1e3
    told = plan(made(all_weights)).advice
    assert told == "--set 'adapter={rank: 16}': LoRA in place of all weights"
    assert plan(given(all_weights, told)).advice is None


def test_of_cheap_changes_those_that_a_dear_one_spares_are_left_out() -> None:
    way = Way(Holding(), LoRA(rank=64), largest=100)

    def has(changed: Way, name: str) -> bool:
        return bool(getattr(changed.backend, name) == "yes")

    def both(changed: Way) -> bool:
        return has(changed, "few") and changed.adapter == LoRA(rank=16)

    assert advice(way, both).splitlines() == [
        "--set backend=holding --set backend_options.few=yes: a little",
        "--set adapter.rank=16: a smaller adapter",
    ]
    assert advice(way, lambda changed: has(changed, "half")) == (
        "--set backend=holding --set backend_options.half=yes: digits"
    )
    assert advice(way, lambda changed: changed.largest == 50) == (
        "--set backend=holding --set backend_options.few=yes, and rows of 50 tokens at most: "
        "the longest has 100"
    )
    assert advice(way, lambda changed: False) == NOTHING_HELPS


def test_a_backend_that_says_nothing_is_told_of_the_adapter_and_rows_alone() -> None:
    way = Way(ToyBackend(), LoRA(rank=64), largest=100)
    assert advice(way, lambda changed: changed.adapter == LoRA(rank=16)) == (
        "--set adapter.rank=16: a smaller adapter"
    )
    assert advice(way, lambda changed: changed.largest == 50) == (
        "rows of 50 tokens at most: the longest has 100"
    )


@options
class Holding(ToyBackend):
    """A backend by what it says makes it smaller."""

    name = "holding"

    few: str = option(default="no", help="Hold few.", choices=("no", "yes"))
    half: str = option(default="no", help="Hold half of the digits.", choices=("no", "yes"))

    def smaller(self, largest: int) -> Sequence[Smaller]:
        return [
            Smaller("few", "yes", "a little"),
            Smaller("half", "yes", "digits", exact=False),
        ]


def test_advice_counts_what_sampling_holds_as_the_plan_does(
    recipe: Mapping[str, Any], room: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer tokens together help nothing where the most is held while it draws."""
    drawn = {"keys and values": 1e9, "logits": 0.0}
    monkeypatch.setattr(CPU, "sampling_memory", lambda self, shape, rows, tokens: drawn)
    sampling = {**recipe, "options": {**recipe["options"], "replay": 0.25}}

    whole = plan(made(sampling, adapter={"rank": 64}))
    assert "keys and values" in whole.memory
    room[0] = whole.num_bytes - 1e3
    assert plan(made(sampling, adapter={"rank": 64})).advice == (
        "--set adapter.rank=16: a smaller adapter"
    )


def test_a_backend_of_others_passes_on_what_makes_them_smaller(
    recipe: Mapping[str, Any], room: list[float]
) -> None:
    pytest.importorskip("customize_torchrun")
    many = {**recipe, "backend": "torchrun"}
    many["backend_options"] = {"on": "cpu", "on_options": recipe["backend_options"]}
    whole = plan(made(many))
    room[0] = whole.num_bytes - 1e3
    told = plan(made(many)).advice
    assert told is not None
    assert "--set backend_options.on_options.token_budget=" in told
    room[0] = float("inf")
    least = {**recipe["backend_options"], "token_budget": whole.stages[0].largest}
    many["backend_options"] = {"on": "cpu", "on_options": least}
    assert plan(made(many)).num_bytes <= whole.num_bytes - 1e3


def test_what_makes_it_fit_is_shown_a_line_a_change(
    recipe: Mapping[str, Any], room: list[float]
) -> None:
    least = {"token_budget": 1, "recompute": "always"}
    options = {**recipe["backend_options"], **least}
    room[0] = plan(made(recipe, backend_options=options)).num_bytes - 1e3
    settings = [f"--set={key}={recipe[key]}" for key in ("model", "data", "to", "backend")]
    settings += ["--set=backend_options.dtype=float32", "--set=options.batch_size=12"]
    shown = CliRunner().invoke(command, settings, catch_exceptions=False).output
    head, _, rest = shown.partition("  does not fit, and would with\n")
    assert head
    changes = rest.partition("\n\n")[0].splitlines()
    assert len(changes) > 1
    assert changes[-1] == "    --set adapter.rank=4: a smaller adapter"
