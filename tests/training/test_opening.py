"""customize.open: what is no run and no model is told, and a revision is never ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

import customize
from customize import ModelError, OptionError
from customize.testing import ToyBackend

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


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(OptionError, match="for models of the hub"):
        customize.open(tmp_path, revision="main", backend=ToyBackend())
