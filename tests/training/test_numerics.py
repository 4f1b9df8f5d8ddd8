"""What decides the bits of a run is kept when it begins, and is the same when it goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import customize
from customize import Backend, Engine, ModelFolder, OptionError, RunError, option, options
from customize.runs.folder import RunFolder
from customize.testing import ToyBackend
from customize.training.recipe_making import make_recipe

pytest.importorskip("customize_sft")

ROWS = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "yes"}]}]
FASTEST = "bfloat16"


@options
class Choosing(Backend):
    """A toy whose dtype decides nothing, but is chosen and kept as a real one's."""

    name = "toy"

    dtype: str = option(default="auto", help="What it computes in.")
    batch: int = option(default=1, help="Decides no bits.")
    cut: int = option(default=8, help="How sums are cut.")

    def probe(self) -> str | None:
        return None

    def capabilities(self) -> frozenset[str]:
        return ToyBackend().capabilities()

    def settled(self, kept: Mapping[str, Any]) -> Backend:
        chosen = kept.get("dtype", FASTEST) if self.dtype == "auto" else self.dtype
        return Choosing(dtype=chosen, batch=self.batch, cut=self.cut)

    def numerics(self) -> Mapping[str, str | int]:
        return {"dtype": self.dtype, "cut": self.cut}

    def may_change(self) -> frozenset[str]:
        return frozenset({"cut"})

    def load(self, model: ModelFolder | None = None) -> Engine:
        return ToyBackend().load()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))


def train(to: Path, backend: Backend) -> customize.Run:
    return customize.train(
        model="toy", data=ROWS, to=to, backend=backend, options={"steps": 2, "batch_size": 1}
    )


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A run that chose bfloat16 and died before it was finished."""

    def dying(self: RunFolder, facts: Mapping[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "finish", dying)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "run", Choosing())
    return tmp_path / "run"


def dtype_of(run: customize.Run) -> str:
    assert isinstance(run.backend, Choosing)
    return run.backend.dtype


def test_what_auto_chose_is_kept_and_chosen_again(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "FASTEST", "float32")
    assert json.loads((stopped / "lineage.json").read_text())["backend_options"] == {
        "dtype": "bfloat16",
        "cut": 8,
    }
    assert dtype_of(train(stopped, Choosing())) == "bfloat16"
    assert dtype_of(train(stopped.with_name("new"), Choosing())) == "float32"


def test_another_dtype_is_refused_and_named(stopped: Path) -> None:
    with pytest.raises(RunError, match=r"backend_options\.dtype: 'bfloat16' there, 'float32' now"):
        train(stopped, Choosing(dtype="float32"))


def test_an_option_that_decides_no_bits_may_change(stopped: Path) -> None:
    assert train(stopped, Choosing(batch=7)).metrics


def test_another_way_to_round_is_told_and_the_run_goes_on(
    stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(stopped, Choosing(cut=4)).metrics
    assert "backend_options.cut was 8 when the run began and is 4 now" in capsys.readouterr().err
    with pytest.raises(RunError, match=r"differs:\n  backend_options\.dtype: .*\nGive"):
        train(stopped, Choosing(dtype="float32", cut=4))


def test_another_processor_or_version_is_told(
    stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lineage = json.loads((stopped / "lineage.json").read_text())
    lineage["processor"] = "an abacus"
    lineage["versions"]["numpy"] = "0.1"
    (stopped / "lineage.json").write_text(json.dumps(lineage))
    train(stopped, Choosing())
    told = capsys.readouterr().err
    assert "processor was an abacus when the run began" in told
    assert "versions.numpy was 0.1" in told


def test_a_recipe_names_the_backends_options_strictly() -> None:
    given = {"model": "m", "data": "d", "to": "t", "backend": "cpu"}
    pytest.importorskip("customize_torch")
    recipe = make_recipe({**given, "backend_options": {"dtype": "float32"}})
    assert recipe.backend_options == {"dtype": "float32"}
    with pytest.raises(OptionError, match=r"did you mean 'backend_options\.dtype'"):
        make_recipe({**given, "backend_options": {"dtyp": "float32"}})
    with pytest.raises(OptionError, match="one of auto, float32, bfloat16"):
        make_recipe({**given, "backend_options": {"dtype": "fp32"}})


def test_options_of_a_backend_that_is_not_named_are_refused() -> None:
    with pytest.raises(OptionError, match="set backend too"):
        make_recipe({"model": "m", "data": "d", "to": "t", "backend_options": {"dtype": "auto"}})


def test_an_instance_has_its_options_already(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="leave out backend_options"):
        customize.train(
            model="toy", data=ROWS, to=tmp_path, backend=Choosing(), backend_options={"dtype": "x"}
        )
