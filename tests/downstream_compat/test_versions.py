"""Versions go in lockstep, dependencies have lower bounds only, and no hook outstays its time."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pluggy
import pytest

import customize
from customize.plugins import hooks
from customize.plugins.leaving import Leaving

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(ROOT.glob("plugins/*/pyproject.toml"))
THIRD_PARTY = sorted(ROOT.glob("examples/third-party/*/pyproject.toml"))
OURS = {"customize", *(file.parent.name for file in PLUGINS)}
MINOR = tuple(map(int, customize.__version__.split(".")[:2]))
LOCKSTEP = f"~= {MINOR[0]}.{MINOR[1]}.0"


def project(file: Path) -> dict[str, Any]:
    made: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))["project"]
    return made


def needs(file: Path) -> Iterator[tuple[str, str]]:
    """Every requirement, extras too, as name and the rest."""
    about = project(file)
    lines = list(about.get("dependencies", []))
    lines += [line for extra in about.get("optional-dependencies", {}).values() for line in extra]
    for line in lines:
        name, rest = re.fullmatch(r"([\w.-]+(?:\[[\w,]+\])?) *(.*)", line).groups()  # type: ignore[union-attr]
        yield name, rest


def named(file: Path) -> str:
    return str(file.parent.relative_to(ROOT))


@pytest.mark.parametrize("file", [ROOT / "pyproject.toml", *PLUGINS], ids=named)
def test_every_distribution_has_the_same_version(file: Path) -> None:
    assert project(file)["version"] == customize.__version__


@pytest.mark.parametrize("file", [*PLUGINS, *THIRD_PARTY], ids=named)
def test_a_plugin_depends_on_this_minor_release(file: Path) -> None:
    assert ("customize", LOCKSTEP) in needs(file)


@pytest.mark.parametrize("file", [ROOT / "pyproject.toml", *PLUGINS], ids=named)
def test_what_is_ours_goes_in_lockstep_and_all_else_has_only_a_lower_bound(file: Path) -> None:
    for name, rest in needs(file):
        if name in OURS:
            assert rest == LOCKSTEP, name
        elif name.partition("[")[0] not in OURS:
            # ``nox -s minimums`` reads the bound, and can read no other form.
            assert re.fullmatch(r">= [\d.]+", rest), name


def test_no_hook_or_argument_outstays_the_release_it_was_said_to_go_with() -> None:
    manager = pluggy.PluginManager(hooks.PROJECT)
    for name in (n for n in vars(hooks) if n.startswith("customize_")):
        options = manager.parse_hookspec_opts(hooks, name)
        assert options is not None
        warnings = [options["warn_on_impl"], *(options["warn_on_impl_args"] or {}).values()]
        for warning in filter(None, warnings):
            assert isinstance(warning, Leaving), f"{name}: say with Leaving when it goes"
            gone = tuple(map(int, warning.gone.split(".")))
            assert gone > MINOR, f"{warning} That is now: take it out."
