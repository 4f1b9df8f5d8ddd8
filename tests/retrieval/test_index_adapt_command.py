"""``customize index adapt``: a map of the queries, kept where it helps, by labels or a reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from turned_encoder import SOURCE

import customize
from customize import DataError
from customize.cli.group import cli
from customize.testing import ToyBackend

COUNT = 40
QUESTIONS = [
    {"question": f"asked {n}?", "answer": f"said{n}x", "document": f"{n}.md"} for n in range(COUNT)
]


@pytest.fixture(autouse=True)
def turned(install: Callable[..., None]) -> None:
    install("acme-turned", SOURCE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (docs := tmp_path / "docs").mkdir()
    for n in range(COUNT):
        (docs / f"{n}.md").write_text(f"The word is said{n}x.\n", "utf-8")
    customize.build_index(docs, tmp_path / "index", encoder="turned")
    return tmp_path / "index"


def adapt(folder: Path, *more: str, lines: str | None = None) -> str:
    (file := folder.parent / "questions.jsonl").write_text(
        "".join(json.dumps(one) + "\n" for one in QUESTIONS) if lines is None else lines, "utf-8"
    )
    arguments = ["index", "adapt", str(folder), str(file), *more]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output.strip()


def num_found(folder: Path) -> int:
    index = customize.open_index(folder)
    hits = [index.search(one["question"], 1) for one in QUESTIONS]
    return sum(
        h[0].chunk.document == one["document"] for h, one in zip(hits, QUESTIONS, strict=True)
    )


def test_a_map_that_finds_more_is_kept_and_what_was_measured_is_told(folder: Path) -> None:
    before = num_found(folder)
    told = adapt(folder)
    assert told.startswith("MRR ")
    assert told.endswith("the query adapter is kept")
    assert num_found(folder) > max(before, 0.8 * COUNT)


def test_a_reader_takes_the_place_of_labels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = customize.Run(None, None, ToyBackend())
    opened: list[str] = []

    def opening(name: str) -> customize.Run:
        opened.append(name)
        return reader

    monkeypatch.setattr("customize.runs.opening.open", opening)
    by_labels, told = adapt(folder), adapt(folder, "--reader", "toy")
    assert opened == ["toy"]
    assert told == str(customize.adapt_index(folder, QUESTIONS, reader=reader.customized))
    assert told != by_labels


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('{"question": "When?"}\n', "line 1 must read"),
        ("\nWhen?\n", "line 2 must read"),
        ('{"question": "asked 1?", "answer": "said1x"}\n', "needs 20 questions"),
    ],
)
def test_questions_that_cannot_be_used_are_refused(folder: Path, lines: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        adapt(folder, lines=lines)
