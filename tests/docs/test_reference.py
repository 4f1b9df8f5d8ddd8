"""The reference is what the code says, and leaves nothing out."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

import customize
from customize._options import options_of
from customize.cli.group import COMMANDS
from customize.plugins import hooks, load, names
from customize.plugins.specs import KINDS

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "reference"
HOOKS = [name for name in vars(hooks) if name.startswith("customize_")]

pytest.importorskip("customize_torch")


def text_of(name: str) -> str:
    return (REFERENCE / name).read_text("utf-8")


def test_the_reference_is_current() -> None:
    command = [sys.executable, str(DOCS / "make_reference.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", customize.__all__)
def test_every_public_name_has_an_entry(name: str) -> None:
    assert f"## {name}\n" in text_of("names.md")


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_an_entry(hook: str) -> None:
    assert f"* `{hook}`: " in text_of("plugins.md")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_entry(command: str) -> None:
    assert f"## customize {command}\n" in text_of("commands.md")


@pytest.mark.parametrize("kind", ["method", "backend", "exporter", "observer"])
def test_every_option_of_a_plugin_has_an_entry(kind: str) -> None:
    page = text_of("options.md")
    for name in names(kind):
        _, _, section = page.partition(f"## {kind} {name}\n")
        section, _, _ = section.partition("\n## ")
        missing = [o.name for o in options_of(load(kind, name)) if f"| `{o.name}` |" not in section]
        assert not missing, f"{kind} {name}"


def test_every_key_of_a_recipe_has_an_entry() -> None:
    section = text_of("options.md").partition("\n## adapter")[0]
    keys = inspect.signature(customize.Recipe).parameters
    missing = [key for key in keys if f"| `{key}` |" not in section]
    assert not missing


def test_every_key_of_a_trait_has_an_entry() -> None:
    section = text_of("options.md").partition("\n## A trait\n")[2].partition("\n## ")[0]
    assert all(f"| `{o.name}` |" in section for o in options_of(customize.Trait))


def test_every_field_of_a_spec_has_an_entry() -> None:
    page = text_of("plugins.md")
    for spec in KINDS.values():
        section = page.partition(f"### {spec.__name__}\n")[2].partition("\n##")[0]
        assert all(f"* `{field.name}: " in section for field in attrs.fields(spec))
