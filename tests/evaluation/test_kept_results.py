"""What an evaluation keeps, and what is read again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from xml.etree import ElementTree

import attrs
import pytest
from saying import Says, asked, compared, row, taught

from customize import (
    DataError,
    better,
    no_worse,
)
from customize.evaluation import Draw, Prompting, SnapshotColumn, evaluate
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.gates import judged
from customize.evaluation.questions import questions_of
from customize.evaluation.results import JUNIT, read, write
from customize.evaluation.scorers import as_scorers
from customize.interfaces.gate import parse_gate


def test_answers_are_asked_for_once_and_a_cut_line_is_no_harm(tmp_path: Path) -> None:
    rows, file = [asked(n) for n in range(40)], tmp_path / "answers.jsonl"
    first = Says("base")
    evaluate([first], rows[:35], store=AnswerStore(file))
    file.write_bytes(file.read_bytes()[:-20])  # as a kill leaves it
    again = Says("base")
    got = evaluate([again], rows, store=AnswerStore(file))
    assert (first.asked, again.asked) == (35, 6)
    assert [item.answers["base"].text for item in got.items] == ["no"] * 40
    third = Says("base")
    evaluate([third], rows, store=AnswerStore(file))
    assert third.asked == 0
    file.write_text(file.read_text().replace('"share_s"', '"other"'))  # as another version has it
    fourth = Says("base")
    evaluate([fourth], rows, store=AnswerStore(file))
    assert fourth.asked == 40


def test_another_prompt_limit_or_model_is_another_answer() -> None:
    session = taught("yes")
    [question] = questions_of([row("one", includes="x")], need_expect=True)
    column = SnapshotColumn("a", session, fingerprint="one")
    keys = {
        column.key(question, Draw(64)),
        column.key(question, Draw(32)),
        column.key(question, Draw(64, 1.0)),
        column.key(question, Draw(64, 1.0, number=1)),
        attrs.evolve(column, fingerprint="two").key(question, Draw(64)),
        attrs.evolve(column, prompting=Prompting("Be brief.")).key(question, Draw(64)),
    }
    assert len(keys) == 6
    assert (
        attrs.evolve(column, name="b").key(question, Draw(64)) in keys
    )  # a name is nothing to a model
    assert attrs.evolve(column, fingerprint=None).key(question, Draw(64)) is None


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    rows = [asked(n, trait=("a", "b")[n % 2], document=str(n // 3)) for n in range(30)]
    got = compared(rows, cluster="document", scorers=as_scorers(["calibration", "degeneration"]))
    got = judged(got, [better(), no_worse("degeneration.empty", margin=0.1)])
    write(got, tmp_path / "eval")
    again = read(tmp_path / "eval")
    assert again.items[0].scores == got.items[0].scores
    assert again.changes == got.changes
    assert attrs.evolve(again, items=()) == attrs.evolve(got, items=())
    lines = [json.loads(x) for x in (tmp_path / "eval/items.jsonl").read_text().splitlines()]
    assert set(lines[0]["answers"]["base"]) >= {"text", "num_tokens", "latency_s"}
    assert lines[0]["hash"] != lines[1]["hash"]


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def test_what_is_not_finite_is_null_and_read_back_as_it_was(tmp_path: Path) -> None:
    rows = [
        asked(n, answerable=True, trait="ab"[n > 0], customized="yes it is " * (n + 1))
        for n in range(3)
    ]
    got = compared(rows, scorers=as_scorers(["abstention", "degeneration"]))
    one = attrs.evolve(got.items[0].answers["base"], logprob=-math.inf)
    item = attrs.evolve(got.items[0], answers={**got.items[0].answers, "base": one})
    write(attrs.evolve(got, items=(item, *got.items[1:])), tmp_path)
    results = json.loads((tmp_path / "results.json").read_text(), parse_constant=_refuse)
    words = results["estimates"]["degeneration.words"]["customized"]["trait=a"]
    assert words == {"estimate": 3.0, "low": None, "high": None}
    nothing = {"estimate": None, "low": None, "high": None}
    assert results["summaries"]["abstention.precision"]["customized"] == nothing
    for line in (tmp_path / "items.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=_refuse)
    again = read(tmp_path)
    figure = again.summaries["abstention.precision"]["customized"]
    assert math.isnan(figure.estimate)
    assert (figure.low, figure.high) == (-math.inf, math.inf)
    slice_of_one = again.rate("customized", "trait=a", "degeneration.words")
    assert attrs.astuple(slice_of_one) == (3.0, -math.inf, math.inf)


def test_an_evaluation_of_another_version_is_refused(tmp_path: Path) -> None:
    write(compared([asked(1)]), tmp_path)
    value = json.loads((tmp_path / "results.json").read_text())
    (tmp_path / "results.json").write_text(json.dumps({**value, "schema": 1}))
    with pytest.raises(DataError, match="has the schema 1"):
        read(tmp_path)


def test_junit_has_a_case_a_gate(tmp_path: Path) -> None:
    rows = [asked(n, customized=("yes", "no")[n % 2]) for n in range(40)]
    gates = [better(), no_worse(margin=0.01, than="base"), parse_gate("better(right, than=base)")]
    write(judged(compared(rows), [*gates, no_worse(margin=0.001)]), tmp_path)
    suite = ElementTree.parse(tmp_path / JUNIT).getroot()
    assert suite.attrib["tests"] == "4"
    assert [case.attrib["name"] for case in suite] == [
        "better(right)",
        "no_worse(right, margin=0.01, than=base)",
        "better(right, than=base)",
        "no_worse(right, margin=0.001)",
    ]
