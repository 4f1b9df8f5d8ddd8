"""customize.open: what is no run and no model is told, and a revision is never ignored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import customize
from customize import Manifest, ModelError, OptionError
from customize.runs import opening
from customize.runs.backends import choose_backend
from customize.testing import ToyBackend, write_tiny_model

pytest.importorskip("customize_sft")

ROWS = [
    {
        "messages": [
            {"role": "user", "content": "question"},
            {"role": "assistant", "content": "yes"},
        ]
    }
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))


def test_a_folder_that_is_neither_a_run_nor_a_model_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no recipe\.json.*no config\.json"):
        customize.open(tmp_path, backend=ToyBackend())


def test_a_run_names_its_bases_revision_itself(tmp_path: Path) -> None:
    to = tmp_path / "run"
    options = {"steps": 1}
    customize.train(model="toy", data=ROWS, to=to, backend=ToyBackend(), options=options)
    with pytest.raises(OptionError, match="names its base's own"):
        customize.open(to, revision="main")


@pytest.mark.parametrize("is_packaged", [True, False])
def test_the_base_of_an_adapter_is_looked_for_at_the_revision_it_was_trained_on(
    is_packaged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []

    def resolve(name: str, revision: str | None) -> None:
        asked.append((name, revision))
        raise ModelError("the hub is not asked here")

    monkeypatch.setattr(opening, "resolve", resolve)
    said = {"base_model_name_or_path": "acme/small", "revision": "abc"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(said))
    if is_packaged:
        base = {"name": "acme/small", "fingerprint": "f" * 64, "revision": "abc"}
        write_manifest(tmp_path, base)
    for given in ({}, {"revision": "main"}, {"base": "mine"}):
        with pytest.raises(ModelError, match="not asked here"):
            customize.open(tmp_path, backend=ToyBackend(), **given)
    assert asked == [("acme/small", "abc"), ("acme/small", "main"), ("mine", None)]


@pytest.mark.parametrize("precision", ["float32", "bfloat16", None])
def test_a_package_in_float32_is_computed_as_it_was_proven_unless_one_says_otherwise(
    precision: str | None, tmp_path: Path
) -> None:
    pytest.importorskip("customize_torch")
    model = write_tiny_model(tmp_path / "model")
    if precision is not None:
        known = {"name": "small", "fingerprint": model.fingerprint, "revision": None}
        write_manifest(model.path, known, needs_base=False, precision=precision)
    usual: Any = choose_backend("auto")
    assert usual.dtype == "auto"
    opened: Any = customize.open(model.path).backend
    assert opened.name == usual.name
    assert opened.dtype == ("float32" if precision == "float32" else "auto")
    assert customize.open(model.path, backend=usual).backend == usual


def write_manifest(folder: Path, base: Mapping[str, str | None], **more: Any) -> None:
    about: dict[str, Any] = {
        "format": "customize-hf:hf",
        "precision": "float32",
        "name": "pizza",
        "needs_base": True,
        "base": base,
        "weights": "w",
        "is_adapter": True,
        "stop_tokens": [2],
        **{key: {} for key in ("options", "parity", "how_to_run", "run", "files")},
    }
    Manifest(**{**about, **more}).write(folder)


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(OptionError, match="for models of the hub"):
        customize.open(tmp_path, revision="main", backend=ToyBackend())
