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


def chat_about_pool(run: Path, folder: Path, **cut: object) -> str:
    pool = [{"id": "pool", "text": "# Pool\n\nThe pool is blue."}]
    customize.build_index(pool, folder, chunking=customize.Chunking(**cut))  # type: ignore[arg-type]
    asked = ["chat", str(run), "--index", str(folder), "--message", "pool", "--max-tokens", "2"]
    found = CliRunner().invoke(cli, asked)
    assert found.exit_code == 0, found.output
    return found.output


def test_an_index_that_is_cut_otherwise_than_the_runs_is_told_of(run: Path, tmp_path: Path) -> None:
    told = chat_about_pool(run, tmp_path / "other", most_tokens=400, overlap=0.3)
    assert "cut otherwise" in told
    assert "--most-tokens 200 --overlap 0.15" in told
    assert "cut otherwise" not in chat_about_pool(run, tmp_path / "same", most_tokens=200)
