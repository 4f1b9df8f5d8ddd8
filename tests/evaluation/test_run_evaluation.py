"""A run's evaluation: what is kept in its folder, shown on its pages, and asked for once."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import customize
from customize import (
    DataError,
    GateFailed,
    GateInconclusive,
    OptionError,
    Run,
    RunError,
    UnknownName,
)
from customize.evaluation.columns import SnapshotColumn
from customize.runs.evaluating import Asked, compare_runs, raise_for_gates
from customize.testing import ToyBackend

pytest.importorskip("customize_sft")

ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"question {n}"},
            {"role": "assistant", "content": "yes <b>"},
        ]
    }
    for n in range(8)
]
TEST = [
    {
        "id": str(n),
        "trait": ("one", "two")[n % 2],
        "messages": [{"role": "user", "content": f"other {n}"}],
        "expect": {"includes": "yes"},
    }
    for n in range(30)
]
QUICK: dict[str, Any] = {"max_tokens": 16}


def train(to: Path, **settings: Any) -> Run:
    options = {"epochs": 10, "batch_size": 4, "lr": 0.3, **settings.pop("options", {})}
    return customize.train(
        model="toy", data=ROWS, to=to, backend=ToyBackend(), options=options, **settings
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return train(tmp_path / "run")


def page(folder: Path) -> str:
    return (folder / "report.html").read_text("utf-8")


def test_the_folder_keeps_results_items_junit_and_a_page(run: Run) -> None:
    assert run.folder is not None
    got = run.evaluate(TEST, gates=["better(right)"], **QUICK)
    assert got.columns == ("base", "customized")
    assert got.gates[0].verdict == "pass"
    kept = run.folder.evaluation
    names = {file.name for file in kept.iterdir()}
    assert names == {"results.json", "items.jsonl", "junit.xml", "report.html", "answers.jsonl"}
    results = json.loads((kept / "results.json").read_text())
    assert (results["schema"], results["verdict"]) == (4, "pass")
    assert results["estimates"]["right"]["customized"]["trait=one"]["estimate"] == 1


def test_the_pages_and_the_card_open_with_the_verdict_and_escape_what_was_said(run: Run) -> None:
    assert run.folder is not None
    run.evaluate(TEST, gates=["better(right)"], **QUICK)
    for folder in (run.folder.path, run.folder.evaluation):
        text = page(folder)
        assert text.index("passed") < text.index("<h2>Evaluation")
        assert "yes &lt;b&gt;" in text
        assert "yes <b>" not in text
        assert not re.search(r"<script|(?:src|href)=|url\(|@import", text)
    card = (run.folder.path / "README.md").read_text()
    assert "Customized is better than the base on 30 rows" in card
    assert "* pass: `better(right)`" in card


def test_a_run_that_was_not_evaluated_says_so(run: Run) -> None:
    assert run.folder is not None
    assert "Not evaluated yet" in page(run.folder.path)
    assert "It was not evaluated yet." in (run.folder.path / "README.md").read_text()


def test_a_second_evaluation_asks_no_model(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run.evaluate(TEST, prompts="Say yes.", general=False, **QUICK)

    def never(*arguments: Any) -> Any:
        raise AssertionError("it was asked again")

    monkeypatch.setattr(SnapshotColumn, "answers", never)
    again = run.evaluate(TEST, prompts="Say yes.", **QUICK)
    assert again.items == first.items
    assert again.columns == ("base", "prompted", "customized")


def test_a_killed_evaluation_goes_on_where_it_was(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    whole = SnapshotColumn.answers

    def dies(self: SnapshotColumn, questions: Any, draw: Any) -> Any:
        if len(asked) == 1:
            raise KeyboardInterrupt
        asked.append(len(questions))
        return whole(self, questions, draw)

    monkeypatch.setattr(SnapshotColumn, "answers", dies)
    with pytest.raises(KeyboardInterrupt):
        run.evaluate(TEST, **QUICK)
    asked.clear()

    def counts(self: SnapshotColumn, questions: Any, draw: Any) -> Any:
        asked.append(len(questions))
        return whole(self, questions, draw)

    monkeypatch.setattr(SnapshotColumn, "answers", counts)
    run.evaluate(TEST, **QUICK)
    assert asked == [30]  # the base had answered


KILLED = """
import json, os, signal, sys
import customize
from customize.evaluation.columns import SnapshotColumn
from customize.testing import ToyBackend

whole, batches = SnapshotColumn.answers, []

def dies(self, questions, draw):
    if len(batches) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    batches.append(len(questions))
    return whole(self, questions, draw)

SnapshotColumn.answers = dies
run = customize.open(sys.argv[1], backend=ToyBackend())
run.evaluate(json.loads(sys.argv[2]), max_tokens=16)
"""


def test_an_evaluation_killed_with_9_goes_on_from_the_answers_it_kept(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run.folder is not None
    rows: list[dict[str, Any]] = [
        {**TEST[0], "id": str(n), "messages": [{"role": "user", "content": f"other {n}"}]}
        for n in range(50)
    ]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(run.folder.path), json.dumps(rows)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (run.folder.evaluation / "results.json").exists()
    whole, asked = SnapshotColumn.answers, []

    def counts(self: SnapshotColumn, questions: Any, draw: Any) -> Any:
        asked.append((self.name, len(questions)))
        return whole(self, questions, draw)

    monkeypatch.setattr(SnapshotColumn, "answers", counts)
    got = run.evaluate(rows, **QUICK)
    assert asked == [("customized", 32), ("customized", 18)]  # the base had answered
    fresh = run.evaluate(rows, to=tmp_path / "fresh", **QUICK)
    assert [item.scores for item in got.items] == [item.scores for item in fresh.items]
    said = [[item.answers["base"].text for item in each.items] for each in (got, fresh)]
    assert said[0] == said[1]


def test_several_prompts_need_development_rows(run: Run) -> None:
    with pytest.raises(OptionError, match="need development rows"):
        run.evaluate(TEST, prompts=["a", "b"], **QUICK)
    with pytest.raises(DataError, match="30 development rows are test rows too"):
        run.evaluate(TEST, prompts=["a", "b"], development=TEST, **QUICK)
    other = [{**r, "messages": [{"role": "user", "content": f"dev {r['id']}"}]} for r in TEST]
    got = run.evaluate(TEST, prompts=["a", "b"], development=other, **QUICK)
    assert "prompt: a" in got.told["prompted"]
    assert any("chosen of 2" in note for note in got.notes)


def test_rows_that_were_trained_on_are_told(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    run = customize.train(
        model="toy", data=data, to=tmp_path / "run", backend=ToyBackend(), options={"steps": 1}
    )
    leaked = {**TEST[0], "id": "leaked", "messages": ROWS[0]["messages"][:1]}
    rows = [*TEST, leaked]
    got = run.evaluate(rows, **QUICK)
    assert {item.id: item.flags for item in got.items if item.flags} == {
        "leaked": ("asked in training",)
    }
    assert "asked in training" in page(tmp_path / "run")
    assert not any("not at hand" in note for note in got.notes)
    data.write_text("")
    gone = run.evaluate(rows, **QUICK)
    assert not any(item.flags for item in gone.items)
    assert any("not at hand" in note for note in gone.notes)


def test_rows_of_every_stage_are_training_rows(tmp_path: Path) -> None:
    for name, rows in (("first", ROWS[:4]), ("second", ROWS[4:])):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = customize.train(
        model="toy",
        to=tmp_path / "run",
        backend=ToyBackend(),
        stages=[
            {"data": str(tmp_path / name), "name": name, "options": {"steps": 1}}
            for name in ("first", "second")
        ],
    )
    asked: list[Any] = [{**TEST[n], "messages": ROWS[n]["messages"][:1]} for n in (0, 7)]
    got = run.evaluate([*asked, TEST[1]], **QUICK)
    assert [item.flags for item in got.items] == [
        ("asked in training",),
        ("asked in training",),
        (),
    ]


def test_another_run_can_answer_too(run: Run, tmp_path: Path) -> None:
    other = train(tmp_path / "other", options={"lr": 0.001})
    got = run.evaluate(TEST, against={"weak": other}, to=tmp_path / "elsewhere", **QUICK)
    assert got.columns == ("base", "weak", "customized")
    assert got.rival == "base"
    with pytest.raises(OptionError, match="no column 'prompted': there are base, customized"):
        run.evaluate(TEST, gates=["better(right, than=prompted)"], **QUICK)
    assert (tmp_path / "elsewhere" / "results.json").is_file()
    assert run.folder is not None
    assert not (run.folder.evaluation / "results.json").exists()


def test_a_folder_that_cannot_be_made_is_told_before_the_work(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be made"):
        run.evaluate(TEST, to=tmp_path / "file" / "eval", **QUICK)


def test_two_runs_are_compared(run: Run, tmp_path: Path) -> None:
    other = train(tmp_path / "other", options={"lr": 0.001})
    got = compare_runs(run, other, Asked(TEST, **QUICK), None)
    assert (got.new, got.rival) == ("run", "other")
    assert got.change("run", "other").low > 0
    assert got.columns == ("base", "other", "run")
    assert any("no base with its best prompt" in note for note in got.notes)
    with pytest.raises(DataError, match="are one run"):
        compare_runs(run, run, Asked(TEST), None)


@pytest.mark.parametrize("name", ["base", "prompted"])
def test_a_run_in_a_folder_called_as_a_column_of_ours_has_a_name_of_its_own(
    run: Run, tmp_path: Path, name: str
) -> None:
    other = train(tmp_path / name, options={"lr": 0.001})
    got = compare_runs(run, other, Asked(TEST[:5], **QUICK), None)
    assert got.rival == f"{tmp_path.name}/{name}"


def test_a_comparison_stands_beside_the_runs_own_evaluation(run: Run, tmp_path: Path) -> None:
    assert run.folder is not None
    run.evaluate(TEST[:5], **QUICK)
    own = {file: file.read_bytes() for file in run.folder.evaluation.iterdir()}
    pages = [(run.folder.path / name).read_bytes() for name in ("report.html", "README.md")]
    other = train(tmp_path / "deeper" / "run", options={"lr": 0.001})
    got = compare_runs(run, other, Asked(TEST, **QUICK), None)
    assert got.rival == "deeper/run"
    assert (tmp_path / "run" / "eval-against-deeper-run" / "report.html").is_file()
    assert {file: file.read_bytes() for file in run.folder.evaluation.iterdir()} == own
    again = [(run.folder.path / name).read_bytes() for name in ("report.html", "README.md")]
    assert again == pages


def test_what_either_run_learnt_from_is_looked_for(tmp_path: Path) -> None:
    runs = {}
    for name, rows in (("old", ROWS[:4]), ("new", ROWS[4:])):
        data = tmp_path / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        runs[name] = customize.train(
            model="toy", data=data, to=tmp_path / name, backend=ToyBackend(), options={"steps": 1}
        )
    asked: list[Any] = [{**TEST[n], "messages": ROWS[n]["messages"][:1]} for n in (0, 7)]
    got = compare_runs(runs["new"], runs["old"], Asked([*asked, TEST[1]], **QUICK), None)
    assert [item.flags for item in got.items] == [("asked in training",)] * 2 + [()]
    (tmp_path / "old.jsonl").write_text("")
    got = compare_runs(runs["new"], runs["old"], Asked([*asked, TEST[1]], **QUICK), None)
    assert any("not at hand" in note for note in got.notes)


class OtherBase(ToyBackend):
    name = "other"


def test_runs_of_two_bases_are_told_and_both_bases_answer(run: Run, tmp_path: Path) -> None:
    other = Run(train(tmp_path / "other").folder, None, OtherBase())
    got = compare_runs(run, other, Asked(TEST, general=20, **QUICK), None)
    assert got.columns == ("base", "other_base", "other", "run")
    assert any("other is made of another base than run" in note for note in got.notes)
    assert got.general is not None
    assert got.general.columns == ("base", "run")


def test_a_gate_that_fails_raises_and_the_results_are_kept(tmp_path: Path) -> None:
    data = tmp_path / "test.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in TEST))
    asks = {"data": str(data), "max_tokens": 16}
    wrong = {**asks, "gates": ["no_worse(right, margin=0.1)"], "scorers": ["degeneration"]}
    good = train(tmp_path / "good", evaluate={**asks, "gates": ["better(right)"]})
    assert "passed" in page(good.folder.path)  # type: ignore[union-attr]
    lost = [{**row, "expect": {"excludes": "yes"}} for row in TEST]
    data.write_text("".join(json.dumps(row) + "\n" for row in lost))
    with pytest.raises(GateFailed, match=r"fail: no_worse\(right, margin=0.1\)"):
        train(tmp_path / "bad", evaluate=wrong)
    assert (tmp_path / "bad" / "finished.json").is_file()
    assert "failed" in page(tmp_path / "bad")
    with pytest.raises(GateFailed):  # the finished run is evaluated, and the answer stays
        train(tmp_path / "bad", evaluate=wrong)


def test_too_few_rows_are_neither(run: Run) -> None:
    got = run.evaluate(TEST[:2], gates=["better(right)"], **QUICK)
    with pytest.raises(GateInconclusive, match="rows are needed"):
        raise_for_gates(got)


def test_models_that_nobody_customized_get_the_best_prompt(run: Run) -> None:
    base = Run(None, None, ToyBackend())
    got = run.evaluate(TEST, against={"model": base, "run": run}, prompts="Say yes.", **QUICK)
    assert [name for name, told in got.told.items() if "prompt: Say yes." in told] == [
        "prompted",
        "model",
    ]
    same = [item.answers["model"].text == item.answers["prompted"].text for item in got.items]
    assert all(same)


def test_every_fault_of_a_recipes_evaluation_is_told_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    asks = {
        "data": "x.jsonl",
        "max_tokens": 0,
        "gates": ["beter(right)"],
        "prices": {"big": {"hours": 1}, "base": {"hour": -1}, "customized": 3},
        "judge": {"model": "x", "of": "triples"},
    }
    with pytest.raises(OptionError) as told:
        train(tmp_path / "run", evaluate=asks)
    for fault in (
        "evaluate.max_tokens must be >= 1",
        "evaluate.gates: a gate reads",
        "unknown key 'evaluate.prices.big.hours': did you mean 'evaluate.prices.big.hour'?",
        "evaluate.prices.base.hour must be >= 0",
        "evaluate.prices.customized: a price has keys such as hour",
        "evaluate.judge.of must be one of answers, pairs",
    ):
        assert fault in str(told.value)
    nobody = {"gates": ["better(right, than=prompted)"], "prices": {"big": {"hour": 1}}}
    with pytest.raises(OptionError, match="no column 'prompted'; a price for 'big': there are b"):
        train(tmp_path / "run", evaluate={"data": "x.jsonl", **nobody})
    data = tmp_path / "test.jsonl"
    cases: list[tuple[Any, Any, type[Exception], str]] = [
        ([], {}, DataError, "holds no rows"),
        ([{**TEST[0], "expect": None}], {}, DataError, "1 of 1 rows without expect"),
        ([TEST[0], TEST[0]], {}, DataError, "share the id '0'"),
        (TEST, {"scorers": ["degenerate"]}, UnknownName, "degeneration"),
        (TEST, {"index": str(tmp_path)}, DataError, "holds no index"),
        (TEST, {"judge": {"model": "x", "labels": "none.jsonl"}}, DataError, "none.jsonl"),
    ]
    for rows, wrong, error, fault in cases:
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        with pytest.raises(error, match=fault):
            train(tmp_path / "run", evaluate={"data": str(data), **wrong})
    with pytest.raises(OptionError, match=r"against.big must be a run, a model or https"):
        train(tmp_path / "run", evaluate={"data": "x.jsonl", "against": {"big": 3}})
    assert not (tmp_path / "run").exists()


def test_an_evaluation_in_a_recipe_is_checked_before_anything_is_trained(tmp_path: Path) -> None:
    asks = {"data": "x.jsonl", "gates": ["beter(right)"], "max_tokens": 0, "prompt": "a"}
    with pytest.raises(OptionError) as told:
        train(tmp_path / "run", evaluate=asks)
    for fault in ("evaluate.max_tokens must be >= 1", "did you mean 'evaluate.prompts'"):
        assert fault in str(told.value)
    with pytest.raises(OptionError, match="a gate reads"):
        train(tmp_path / "run", evaluate={"data": "x.jsonl", "gates": ["beter(right)"]})
    assert not (tmp_path / "run").exists()
