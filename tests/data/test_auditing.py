"""What an audit finds, by line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from customize.data import Audit, audit
from customize.data.auditing import is_cut
from customize.data.languages import guess

LONG = " ".join(f"word{i}" for i in range(40))


def pair(prompt: str, completion: str = "Fine.", **columns: Any) -> dict[str, Any]:
    return {"prompt": prompt, "completion": completion, **columns}


@pytest.fixture
def audited(tmp_path: Path) -> Audit:
    rows: list[Any] = [
        pair("Where is my pizza?"),  # line 1
        pair(LONG),
        pair("Where is my pizza?"),
        pair(f"{LONG} again"),
        pair("a", ""),
        pair("Write to jo.doe@example.com or jo@example.org", note="call +49 30 901820"),
        pair("b", "This answer goes on and on until the very last of the"),
        pair("key", "It is " + "AKIA" + "IOSFODNN7EXAMPLE."),
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + "\n\nbroken\n")
    return audit(file)


def test_findings_are_by_line(audited: Audit) -> None:
    assert audited.exact_duplicates == ((1, 3),)
    assert [cluster.lines for cluster in audited.near_duplicates] == [(2, 4)]
    assert audited.near_duplicates[0].similarity == round(41 / 44, 3)  # pairs of words, 42 and 43
    assert audited.empty_answers == (5,)
    assert audited.cut_answers == (7,)
    assert {(found.line, found.kind, found.where) for found in audited.findings} == {
        (6, "e-mail", "prompt"),
        (6, "phone number", "note"),
        (8, "AWS access key", "completion"),
    }
    report = audited.report
    assert (report.lines, report.good, report.blank, len(report.bad)) == (10, 7, 1, 2)


def test_json_holds_everything_and_no_value(audited: Audit) -> None:
    found = json.loads(audited.to_json())
    assert found["exact_duplicates"] == [[1, 3]]
    assert found["empty_answers"] == [5]
    assert found["report"]["bad"][1]["line"] == 10
    for secret in ("jo.doe@", "901820", "IOSFODNN"):
        assert secret not in audited.to_json()


@pytest.mark.parametrize("width", [80, 200, 50])
def test_the_report_fits_80_columns_and_shows_lines(audited: Audit, width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    audited.print(console)
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert max(map(len, said.splitlines())) <= min(80, width)
    words = " ".join(said.split())
    for part in (
        "1 = 3",
        "2 ~ 4",
        "bad: not JSON",
        "e-mail",
        "script or language guess",
    ):
        assert part in words or width == 50
    assert "jo.doe@" not in said


def test_lengths_are_percentiles_of_what_is_said() -> None:
    rows = [pair("a " * n, "b c.", system="not counted") for n in range(1, 101)]
    lengths = audit(rows).words
    assert (lengths.least, lengths.most) == (3, 102)
    assert abs(lengths.median - 52) <= 1
    assert abs(lengths.p90 - 92) <= 1
    assert audit(rows).answer_words.most == 2


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What is the best pizza that you have?", "English"),
        ("Was ist die beste Pizza, und wann sind Sie da?", "German"),
        ("Quelle est la meilleure pizza et que dois-je faire pour vous?", "French"),
        (
            "\u00bfCu\u00e1l es la mejor pizza y por qu\u00e9 no est\u00e1 en el men\u00fa?",
            "Spanish",
        ),
        (
            "Qual \u00e8 la pizza migliore e perch\u00e9 non \u00e8 nel menu di oggi?",
            "Italian",
        ),
        (
            "\u0414\u043e\u0431\u0440\u044b\u0439 \u0434\u0435\u043d\u044c",
            "Cyrillic script",
        ),
        (
            "\u30d4\u30b6\u306f\u4f55\u6642\u306b\u5c4a\u304d\u307e\u3059\u304b",
            "Japanese",
        ),
        ("\u4f60\u4eec\u661f\u671f\u4e00\u9001\u5916\u5356\u5417", "Han script"),
        ("Lorem ipsum dolor", "Latin script"),
        ("42 + 1", "no letters"),
    ],
)
def test_language_is_guessed_by_script_and_common_words(text: str, language: str) -> None:
    assert guess(text) == language


@pytest.mark.parametrize(
    ("answer", "cut"),
    [
        ("Yes.", False),
        ("Paris", False),
        ("It is open until ten, and", True),
        ("We bake it for you in the old stone oven that stands", True),
        ("We bake it for you in the old stone oven (see below).", False),
        ('He said: "we bake it for you in the old stone oven."', False),
        ("We bake it for you in the old stone oven every day: \U0001f355", False),
        ("```python\nprint(1)", True),
        ("```python\nprint(1)\n```", False),
        (
            "All of it can be read on the page of our shop, at https://example.com/a",
            False,
        ),
        ("- flour\n- water", False),
        ("\u6211\u4eec\u6bcf\u5929\u90fd\u9001\u5916\u5356\u3002", False),
    ],
)
def test_cut_answers_are_guessed_by_their_end(answer: str, cut: bool) -> None:
    assert is_cut(answer) is cut
