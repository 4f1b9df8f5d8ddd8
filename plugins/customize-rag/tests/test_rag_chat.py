"""``customize chat`` with a run that answers from documents."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rag_corpus import DOCUMENTS

import customize
from customize.cli.group import cli
from customize.testing import ToyBackend


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    customize.train(
        model="toy",
        data=DOCUMENTS,
        to=tmp_path / "run",
        method="rag",
        options={"replay": 0.0, "per_context": 2, "batch_size": 2, "max_rows": 2},
        evaluate=False,
        backend=ToyBackend(),
    )
    toy = functools.partial(customize.open, backend=ToyBackend())  # which nobody offers by name
    monkeypatch.setattr("customize.runs.opening.open", toy)
    return tmp_path / "run"


@pytest.mark.parametrize("more", [[], ["--tag", "staff"]])
@pytest.mark.parametrize("option", ["--system", "--tools"])
def test_what_would_be_answered_without_documents_is_refused(
    run: Path, tmp_path: Path, option: str, more: list[str]
) -> None:
    (tmp_path / "tools.json").write_text(json.dumps([]), "utf-8")
    given = str(tmp_path / "tools.json") if option == "--tools" else "Be brief."
    asked = ["chat", str(run), "--message", "When?", option, given, *more]
    found = CliRunner().invoke(cli, asked)
    assert found.exit_code == 2
    assert f"{run} answers from documents" in found.output
    assert f"leave out {option}" in found.output
