"""A base whose chat template or stop tokens were changed since is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from test_card import MANIFEST

import customize
from customize import ChatRenderer, ModelError, ModelFolder, RunError
from customize.data.rendering.folder import ChatFolder
from customize.packaging.manifest import hashes_of
from customize.packaging.tokenizer import write_tokenizer
from customize.runs.base import check_base
from customize.runs.folder import RunFolder
from customize.testing import ToyBackend, write_tiny_model
from customize.training.recipe_making import make_recipe


def other_template(base: Path) -> None:
    file = base / "tokenizer_config.json"
    told = json.loads(file.read_text("utf-8"))
    told["chat_template"] += "{{ '' }}"
    file.write_text(json.dumps(told), "utf-8")


def another_stop(base: Path) -> None:
    (base / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7]}), "utf-8")


class Named(ToyBackend):
    """One that has a model."""

    name = "named"


CHANGES = pytest.mark.parametrize("change", [other_template, another_stop])


@pytest.fixture
def model(tmp_path: Path) -> ModelFolder:
    return write_tiny_model(tmp_path / "model")


def run_on(model: ModelFolder, to: Path, **further: str) -> RunFolder:
    to.mkdir()
    lineage = {"model": model.fingerprint, **further}
    (to / "lineage.json").write_text(json.dumps(lineage), "utf-8")
    return RunFolder(to)


@CHANGES
def test_a_run_is_exported_with_the_template_and_the_stops_it_was_trained_with(
    model: ModelFolder, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    run = run_on(model, tmp_path / "run", chat=ChatFolder.read(model.path).fingerprint)
    check_base(run, model)
    change(model.path)
    assert customize.resolve(model.path).fingerprint == model.fingerprint
    with pytest.raises(ModelError, match="writes conversations otherwise"):
        check_base(run, model)
    check_base(run_on(model, tmp_path / "older"), model)  # it does not say what there was


@CHANGES
def test_a_run_is_opened_on_the_base_it_was_trained_with(
    model: ModelFolder, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    runs = tmp_path / "run", tmp_path / "older"
    recipe = {"model": str(model.path), "data": "rows.jsonl"}
    run_on(model, runs[0], chat=ChatFolder.read(model.path).fingerprint)
    run_on(model, runs[1])
    for run in runs:
        made = make_recipe({**recipe, "to": str(run)})
        (run / "recipe.json").write_text(json.dumps(made.to_dict()), "utf-8")
    assert [customize.open(run, backend=Named()).model for run in runs] == [model, model]
    change(model.path)
    with pytest.raises(ModelError, match="writes conversations otherwise"):
        customize.open(runs[0], backend=Named())
    assert customize.open(runs[1], backend=Named()).model == model
    run_on(attrs.evolve(model, fingerprint="f" * 64), tmp_path / "other")
    (runs[1] / "lineage.json").write_bytes((tmp_path / "other" / "lineage.json").read_bytes())
    with pytest.raises(ModelError, match="is not the base that"):
        customize.open(runs[1], backend=Named())


@CHANGES
def test_an_adapter_is_opened_on_no_base_that_renders_otherwise(
    model: ModelFolder, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    package = tmp_path / "package"
    package.mkdir()
    stops = ChatRenderer.from_folder(model.path).stop_tokens
    write_tokenizer(model.path, package, stops)
    about = {"base_model_name_or_path": str(model.path)}
    (package / "adapter_config.json").write_text(json.dumps(about), "utf-8")
    files = hashes_of(package)
    attrs.evolve(MANIFEST, needs_base=True, stop_tokens=stops, files=files).write(package)
    opened = customize.open(package, backend=ToyBackend())
    assert opened.model is not None
    assert opened.model.path == model.path
    change(model.path)
    with pytest.raises(ModelError, match="writes conversations otherwise"):
        customize.open(package, backend=ToyBackend())


@CHANGES
def test_a_run_goes_on_with_what_it_began_with_and_an_older_one_goes_on(
    model: ModelFolder, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    recipe = make_recipe({"model": "toy", "data": "rows.jsonl", "to": str(tmp_path)})
    began = {"model": model.fingerprint, "chat": ChatFolder.read(model.path).fingerprint}
    run, older = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "older")
    for folder, said in ((run, began), (older, {"model": model.fingerprint})):
        folder.path.mkdir()
        folder.begin(recipe, said)
    change(model.path)
    now = {**began, "chat": ChatFolder.read(model.path).fingerprint}
    with pytest.raises(RunError, match="chat"):
        run.begin(recipe, now)
    assert older.begin(recipe, now) == []
