"""``customize traits``: shows files, measures, proposes pairs, corrects, and tells by its code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from customize import Run
from customize.cli import main

TRAIT = """\
name: says-yes
sentence: It says yes.
expect: {excludes: "yes"}
prompts: [learn 1, learn 2, learn 3, learn 4, learn 5, learn 6]
held_out: prompts.jsonl
answers: [no sir]
"""
TOY = """
import customize

@customize.hookimpl
def customize_backends():
    yield customize.BackendSpec(name="toy", target="customize.testing:ToyBackend", summary="Toy.")
"""
DRAWING = ("--num-samples", "4", "--max-tokens", "16")


@pytest.fixture
def place(
    run: Run, tmp_path: Path, install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with the run, a trait's file, and the toy backend by its name."""
    install("acme-toy", TOY)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "traits").mkdir()
    (tmp_path / "traits" / "says-yes.yaml").write_text(TRAIT)
    rows = [{"messages": [{"role": "user", "content": f"measure {n}"}]} for n in range(30)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "traits" / "prompts.jsonl").write_text(lines)
    return tmp_path


def customize(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["customize", "traits", *arguments])
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_a_trait_is_shown(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert customize("show", "traits", monkeypatch=monkeypatch) == 0
    told = capsys.readouterr().out
    assert "says-yes: It says yes." in told
    assert "6 to learn from, 30 held out" in told
    assert "1 answers, its best samples" in told
    assert "16 or more held-out prompts can show that\n" in told
    few = TRAIT.replace("held_out: prompts.jsonl\n", "").replace("[no sir]", "[no, oh yes]")
    (place / "few.yaml").write_text(few)
    assert customize("show", "few.yaml", monkeypatch=monkeypatch) == 1
    assert "the good answer 'oh yes'" in capsys.readouterr().err
    (place / "few.yaml").write_text(few.replace("oh yes", "never"))
    assert customize("show", "few.yaml", monkeypatch=monkeypatch) == 0
    assert "can show that: hold out 13 more, or raise the goal" in capsys.readouterr().out
    assert customize("show", "run", monkeypatch=monkeypatch) == 2
    assert "holds no .yaml file of a trait" in capsys.readouterr().err


def test_it_is_measured(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert customize("measure", "run", "traits", "--max-tokens", "16", monkeypatch=monkeypatch) == 0
    assert "says-yes: 100 [89, 100] % of 30 answers show it" in capsys.readouterr().out


def test_pairs_are_proposed_and_then_learnt_from(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("run", "traits/says-yes.yaml", "--to", "c", *DRAWING)
    assert customize("pairs", *asked, monkeypatch=monkeypatch) == 0
    told = capsys.readouterr().out
    assert "pairs to look through: c/pairs.jsonl" in told
    assert "  asked     learn 1\n  rejected  yes\n  chosen    no sir" in told
    settings = [f"--set={setting}" for setting in ("lr=1", "epochs=20", "beta=0.5")]
    more = ("--no-general", "--other", "traits", *settings)
    code = customize("correct", *asked, *more, monkeypatch=monkeypatch)
    told = capsys.readouterr().out
    assert "says-yes: corrected, " in told
    assert code == (0 if "harmed nothing" in told else 1 if ", harmed" in told else 3)
    assert (place / "c" / "verdict.json").is_file()
    assert "Report: c/run/eval/report.html" in told


def test_a_wrong_option_of_the_adapter_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("run", "traits/says-yes.yaml", "--to", "c", *DRAWING, "--adapter", "ranks=8")
    assert customize("correct", *asked, monkeypatch=monkeypatch) == 2
    assert "adapter.ranks" in capsys.readouterr().err
    assert not (place / "c" / "pairs.jsonl").exists()


def test_a_trait_that_cannot_be_judged_is_told_beside_the_others(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "odd_scorer.py").write_text("def it(text, row):\n    raise ValueError('odd text')\n")
    monkeypatch.syspath_prepend(str(place))
    odd = TRAIT.replace("says-yes", "is-odd").replace(
        '{excludes: "yes"}', "{function: odd_scorer:it}"
    )
    (place / "traits" / "is-odd.yaml").write_text(odd)
    asked = ("measure", "run", "traits", "--max-tokens", "2")
    assert customize(*asked, monkeypatch=monkeypatch) == 1
    told = capsys.readouterr()
    assert "says-yes: 0 [0, 11] % of 30 answers show it" in told.out
    assert "30 others were cut off at 2 tokens, and whole ones might show it" in told.out
    assert "30 answers have no score (is-odd 1: ValueError: odd text)" in told.out
    assert "no answer could be judged by is-odd" in told.err
