"""Packages of merged weights beside ones that hold an adapter apart, as exports write them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import customize
from customize import Exporter, ExportError, Runtime
from customize.packaging.manifest import MANIFEST
from customize.runs.serving import offers_of
from customize.testing.exporter_rules.subject import ExporterSubject

pytest.importorskip("customize_torch")
pytestmark = pytest.mark.slow
TOKENS = np.arange(5, 17, dtype=np.int32)


def exporter_of(form: str, **more: Any) -> Exporter:
    if form == "gguf":
        pytest.importorskip("xllamacpp")
    module: Any = pytest.importorskip(f"customize_{form}.exporter")
    made: Exporter = (
        module.ONNX(weights="float32", **more)
        if form == "onnx"
        else module.GGUF(dtype="f32", **more)
    )
    return made


@attrs.frozen
class Packages:
    """apart: with its adapter apart. merged, again: of the same weights, merged."""

    apart: str
    merged: str
    again: str


@pytest.fixture(scope="module", params=["onnx", "gguf"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Packages:
    folder = tmp_path_factory.mktemp(request.param)
    subject = ExporterSubject(request.param, exporter_of(request.param))
    subject.write(subject.source, folder / "apart")
    subject.exporter = exporter_of(request.param, merged=True)
    for name in ("merged", "again"):
        subject.write(subject.source, folder / name)
    return Packages(*(str(folder / name) for name in ("apart", "merged", "again")))


@pytest.fixture(params=["as written", "of before holds_adapter was"])
def packages(request: pytest.FixtureRequest, written: Packages) -> Iterator[Packages]:
    files = [Path(folder) / MANIFEST for folder in attrs.astuple(written)]
    texts = [file.read_text("utf-8") for file in files]
    if request.param != "as written":
        for file, text in zip(files, texts, strict=True):
            told = json.loads(text)
            del told["holds_adapter"]
            file.write_text(json.dumps(told), "utf-8")
    yield written
    for file, text in zip(files, texts, strict=True):
        file.write_text(text, "utf-8")


def said(runtime: Runtime, adapter: str | None) -> Any:
    return runtime.logprobs(TOKENS, 4, adapter)


def served(sources: Sequence[str]) -> list[Any]:
    """What each of them says, served beside the others."""
    offers = offers_of(sources)
    found = [said(offer.runtime, offer.adapter) for offer in offers]
    for runtime in {id(offer.runtime): offer.runtime for offer in offers}.values():
        runtime.close()
    return found


def alone(folder: str) -> Any:
    runtime = customize.open_package(folder)
    found = said(runtime, next(iter(runtime.adapters), None))
    runtime.close()
    return found


def test_merged_packages_are_served_beside_others_as_they_answer_alone(packages: Packages) -> None:
    apart, merged, again = attrs.astuple(packages)
    for sources in ([merged, apart], [apart, merged], [merged, again]):
        for source, found in zip(sources, served(sources), strict=True):
            assert np.abs(found - alone(source)).max() < 1e-4, sources


def test_an_adapter_is_not_put_on_merged_weights(packages: Packages) -> None:
    with pytest.raises(ExportError, match="merged or whole, and mine was made for the base"):
        customize.open_package(packages.merged, {"mine": Path(packages.apart)})
    with pytest.raises(ExportError, match="mine is no adapter of the base"):
        customize.open_package(packages.apart, {"mine": Path(packages.merged)})
