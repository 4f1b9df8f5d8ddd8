"""What a model is called on the hub: said by where it comes from, and never by its name here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs

import customize
from customize import ModelFolder
from customize.models.sources import hub_name
from customize.testing import write_tiny_model

PLUGIN = """
from pathlib import Path

import customize


class Small:
    def fetch(self, dtype="bfloat16"):
        return Path({folder!r})


@customize.hookimpl
def customize_models():
    yield customize.ModelSpec(
        name="small", target="acme_small:Small", summary="Small.", hub="acme/Small-1B"
    )
    yield customize.ModelSpec(name="other", target="acme_small:Small", summary="Also small.")
"""


def test_a_plugins_model_is_called_on_the_hub_what_the_plugin_says(
    install: Callable[..., None], tmp_path: Path
) -> None:
    write_tiny_model(tmp_path / "model")
    install("acme-small", PLUGIN.format(folder=str(tmp_path / "model")))
    small = customize.resolve("small")
    assert hub_name(small) == "acme/Small-1B"
    assert hub_name(customize.resolve("other")) is None
    namesake = attrs.evolve(small, path=write_tiny_model(tmp_path / "small").path)
    assert hub_name(namesake) is None


def test_a_model_of_the_hub_keeps_its_name_and_one_of_a_folder_has_none(tmp_path: Path) -> None:
    hub = ModelFolder(tmp_path, "acme/base", "f" * 64, revision="abc")
    assert hub_name(hub) == "acme/base"
    assert hub_name(attrs.evolve(hub, revision=None)) is None
