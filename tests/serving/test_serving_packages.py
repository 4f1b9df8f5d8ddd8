"""Packages by name: those of one base share a runtime, whatever they are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from customize import ExportError, OptionError, UnknownName
from customize.packaging.manifest import Manifest
from customize.packaging.opening import open_package
from customize.runs.serving import offers_of
from customize.testing import write_tiny_model

PLUGIN = """
import customize


class Said(customize.Runtime):
    renderer, context, slots = None, 64, 1

    @classmethod
    def open(cls, folder, adapters={}, base=None):
        made = cls()
        made.folder, made.below = folder, base
        own = () if "merged" in folder.name else ("own",)
        made.adapters = (*own, *adapters)
        made.given = dict(adapters)
        return made

    def stream(self, query, cancelled=None):
        yield from ()

    def logprobs(self, tokens, start, adapter=None):
        raise NotImplementedError


class Exports(customize.Exporter):
    serves, runtime, precision = "said", "acme_said:Said", "float32"

    def write(self, source, folder):
        raise NotImplementedError


@customize.hookimpl
def customize_exporters():
    yield customize.ExporterSpec(name="said", target="acme_said:Exports", summary="Says.")
"""


@pytest.fixture
def package(tmp_path: Path, install: Callable[..., None]) -> Callable[..., str]:
    """``package("pizza")`` writes the manifest of a package, and gives its folder."""
    install("acme-said", PLUGIN)

    def write(name: str, **more: Any) -> str:
        folder = tmp_path / name
        folder.mkdir()
        about: dict[str, Any] = {
            "format": "acme-said:said",
            "precision": "float32",
            "name": name,
            "needs_base": False,
            "base": {"name": "small", "fingerprint": "f" * 64, "revision": None},
            "weights": name,
            "is_adapter": True,
            "stop_tokens": [2],
            **{key: {} for key in ("options", "parity", "how_to_run", "run", "files")},
        }
        Manifest(**{**about, **more}).write(folder)
        return str(folder)

    return write


def test_adapters_of_one_base_share_a_runtime(package: Callable[..., str]) -> None:
    other = {"name": "large", "fingerprint": "e" * 64, "revision": None}
    sources = [
        package("pizza"),
        package("apart", base=other),
        f"mine={package('own')}",
        package("merged", is_adapter=False),
    ]
    offers = offers_of(sources)
    assert [offer.name for offer in offers] == ["pizza", "apart", "mine", "merged"]
    pizza, apart, mine, merged = offers
    assert pizza.runtime is mine.runtime
    assert len({id(offer.runtime) for offer in offers}) == 3
    assert pizza.adapter == "own"  # the package's own comes first
    assert mine.adapter == pizza.runtime.adapters[1]
    assert pizza.runtime.given == {mine.adapter: Path(sources[2].removeprefix("mine="))}  # type: ignore[attr-defined]
    assert apart.adapter == "own"
    assert merged.adapter is None


@pytest.mark.parametrize(
    "other",
    [{"run": {"chat": "new"}}, {"stop_tokens": [2, 7]}, {"options": {"context": 32}}],
    ids=["chat", "stops", "context"],
)
def test_packages_that_write_stop_or_end_otherwise_share_no_runtime(
    package: Callable[..., str], other: dict[str, Any]
) -> None:
    usual: dict[str, Any] = {"run": {"chat": "old"}, "options": {"context": 64}}
    sources = [package("pizza", **usual), package("other", **{**usual, **other})]
    pizza, own, like = offers_of([*sources, package("like", **usual)])
    assert pizza.runtime is like.runtime
    assert pizza.runtime is not own.runtime
    assert own.adapter == "own"


@pytest.mark.parametrize(
    "other", [{"run": {"chat": "new"}}, {"stop_tokens": [2, 7]}], ids=["chat", "stops"]
)
def test_an_adapter_is_opened_beside_none_that_writes_or_stops_otherwise(
    package: Callable[..., str], other: dict[str, Any]
) -> None:
    pizza = package("pizza", run={"chat": "old"})
    theirs = Path(package("theirs", **{"run": {"chat": "old"}, **other}))
    with pytest.raises(ExportError, match="mine writes conversations otherwise than pizza"):
        open_package(pizza, {"mine": theirs})
    open_package(pizza, {"mine": Path(package("older"))})  # it does not say what its chat was


def test_one_package_under_two_names_is_two_adapters(package: Callable[..., str]) -> None:
    folder = package("pizza")
    first, second = offers_of([folder, f"again={folder}"])
    assert first.runtime is second.runtime
    assert first.adapter != second.adapter


def test_a_name_is_given_once(package: Callable[..., str]) -> None:
    with pytest.raises(OptionError, match="two of what is served would be 'pizza'"):
        offers_of([package("pizza"), f"pizza={package('other')}"])


def test_a_package_of_a_format_that_nobody_loads_is_told(package: Callable[..., str]) -> None:
    with pytest.raises(UnknownName, match="tape"):
        offers_of([package("old", format="acme-said:tape")])


def test_the_base_of_an_adapter_alone_is_where_one_says(
    package: Callable[..., str], tmp_path: Path
) -> None:
    model = write_tiny_model(tmp_path / "moved")
    known = {"name": "gone", "fingerprint": model.fingerprint, "revision": None}
    folder = package("pizza", base=known, needs_base=True)
    with pytest.raises(UnknownName, match="--base FOLDER of customize serve and verify"):
        offers_of([folder])
    [offer] = offers_of([folder], base=str(model.path))
    assert offer.runtime.below == model.path  # type: ignore[attr-defined]
    with pytest.raises(OptionError, match="none here does"):
        offers_of([package("whole")], base=str(model.path))


def test_a_damaged_package_is_told(package: Callable[..., str]) -> None:
    folder = package("pizza")
    Path(folder, "package.json").write_text("{")
    with pytest.raises(ExportError, match="is damaged"):
        offers_of([folder])
