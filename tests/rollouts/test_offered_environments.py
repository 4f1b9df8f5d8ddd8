"""Environments by name: their options, the rows they come with, and a process of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playing import play

import customize
from customize import DataError, OptionError, PluginError, UnknownName, find_environment
from customize.data.reading import read
from customize.testing import ToyBackend
from customize.training.recipe_making import make_recipe

Install = Callable[..., None]

WORLD = """
import customize
from customize import option, options

@customize.hookimpl
def customize_environments():
    yield customize.EnvironmentSpec(
        name="levels", target="acme_world:levels", summary="Levels.",
        data="acme_world:rows", options="acme_world:Levels",
    )
    yield customize.EnvironmentSpec(
        name="apart", target="acme_world:apart", summary="Apart.", isolate=True,
    )

@options
class Levels:
    level: int = option(default=1, help="How hard.", at_least=1, at_most=5)
    kind: str = option(default="sums", help="Of what.", choices=("sums", "words"))

def rows(level):
    return [{"prompt": f"level {level}, number {i}?"} for i in range(3)]

def levels(row, rng, level, kind):
    reply = yield f"{row['messages'][0]['content']} {level} {kind}"
    return {"said": float(len(reply.text))}

def apart(row, rng):
    import os
    yield "Go."
    return float(os.getpid())
"""


def test_options_are_those_of_the_spec_and_keep_its_bounds(install: Install) -> None:
    install("acme-world", WORLD)
    for given, told in (("levels", "1 sums"), ("levels:level=3,kind=words", "3 words")):
        [episode] = play(find_environment(given), "ok")
        assert episode.messages[0]["content"].endswith(told)
    [episode] = play(find_environment("acme-world:levels:level=2"), "ok")
    assert episode.messages[0]["content"].endswith("2 sums")
    for given, told in (
        ("levels:level=9", "level must be >= 1 and <= 5"),
        ("levels:lvel=3", "has no option 'lvel': there are level, kind"),
        ("levels:level=x", r"levels:level must be like its default, 1 \(got 'x'\)"),
        ("levels:kind=sums,level", "are NAME:name=value"),
        ("levels:=3", "are NAME:name=value"),
    ):
        with pytest.raises(OptionError, match=told):
            find_environment(given)
    with pytest.raises(UnknownName, match="did you mean 'levels'"):
        find_environment("level:level=3")


def test_an_import_string_takes_options_too() -> None:
    environment = find_environment("isolated_environments:guarded:how=raises")
    assert environment.parameters == {"how": "raises"}


def test_one_that_is_isolated_by_its_spec_plays_in_another_process(install: Install) -> None:
    import os

    install("acme-world", WORLD)
    [episode] = play(find_environment("apart"), "ok")
    assert episode.error is None
    assert episode.reward != os.getpid()


def test_rows_come_with_it_and_know_its_options(install: Install, tmp_path: Path) -> None:
    install("acme-world", WORLD)
    found = read("environment:levels:level=2", kind="prompt")
    assert found[1]["messages"][0]["content"] == "level 2, number 1?"
    with pytest.raises(DataError, match="the environment apart comes with no rows: give data"):
        read("environment:apart")


def test_without_data_a_recipe_takes_the_environments_own(install: Install) -> None:
    pytest.importorskip("customize_grpo")
    install("acme-world", WORLD)
    values = {"model": "toy", "to": "x", "method": "grpo", "environment": "levels:level=2"}
    assert make_recipe(values).data == "environment:levels:level=2"
    assert make_recipe({**values, "data": "mine.jsonl"}).data == "mine.jsonl"
    for environment in ("apart", "isolated_environments:guarded"):
        with pytest.raises(OptionError, match="data is missing"):
            make_recipe({**values, "environment": environment})


def test_one_trains_on_its_own_rows(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("customize_grpo")
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    install("acme-world", WORLD)
    run = customize.train(
        model="toy", backend=ToyBackend(), to=tmp_path / "run", method="grpo",
        environment="levels:level=4",
        options={"steps": 1, "batch_size": 2, "group_size": 2, "max_tokens": 4},
    )  # fmt: skip
    assert run.folder is not None
    asked = {episode["messages"][0]["content"] for episode in run.folder.episodes()}
    assert all("level 4, number" in text and text.endswith("4 sums") for text in asked)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('data="acme_world:rows"', 'data="rows"'), "a target reads 'package.module:Name'"),
        (("isolate=True", 'isolate="yes"'), "isolate is True or False"),
    ],
)
def test_a_spec_that_is_wrong_is_a_fault_of_its_plugin(
    change: tuple[str, str], told: str, install: Install
) -> None:
    from customize.plugins import listing

    install("acme-world", WORLD.replace(*change))
    [row] = [row for row in listing() if row.distribution == "acme-world"]
    assert told in str(row.error)


def test_an_option_without_a_default_is_the_plugins_fault(install: Install) -> None:
    install("acme-world", WORLD.replace('option(default=1, help="How hard."', 'option(help="Hm."'))
    with pytest.raises(PluginError, match="each option of the environment levels needs a default"):
        find_environment("levels")


def test_options_that_the_generator_does_not_take_are_the_plugins_fault(install: Install) -> None:
    install("acme-world", WORLD.replace("row, rng, level, kind)", "row, rng, level, kind, size)"))
    with pytest.raises(PluginError, match="give size a default"):
        find_environment("levels")
