"""A quantized package is held to the run's own rows, and an exact one is not asked."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from table_format import Table, TableFile, exportable, tables

from customize import DataError, Exportable, Parity
from customize.cli.parity_text import parity_text
from customize.evaluation.scorers.likelihood import Choice, Perplexity
from customize.packaging.parity import Limits
from customize.runs.evaluating import planned
from customize.runs.folder import RunFolder
from customize.runs.no_worse import Task, held_to_evaluation, task_of
from customize.runs.own_rows import own_questions
from customize.testing import write_tiny_model
from customize.training.evaluation_plan import EvaluationPlan
from customize.training.recipe_making import make_recipe

PASSED = Parity("int8", Limits.of("int8"), {}, None)


@pytest.fixture
def source(tmp_path: Path) -> Exportable:
    return exportable(write_tiny_model(tmp_path / "model"), tmp_path / "weights")


def judged(source: Exportable, folder: Path, noise: float, count: int = 100) -> Parity | None:
    """What becomes of a package whose table is spoiled by so much; None where nobody asks."""
    session: Any = Table(source.renderer, tables()[1])  # type: ignore[arg-type]
    rows = [
        {"messages": [{"role": "user", "content": f"Row {n}?"}], "expect": {"equals": answer}}
        for n, answer in enumerate([_answer(session)] * count)
    ]
    exporter = TableFile(noise=noise, kept="int8")
    task = Task(planned(EvaluationPlan(max_tokens=8)), "rows.jsonl", rows)
    further = held_to_evaluation(task, exporter, source, session, margin=0.05)
    assert further is not None
    package = folder / "package"
    shutil.copytree(source.model.path, package)
    exporter.write(source, package)
    return further(PASSED, package)


def _answer(session: Any) -> str:
    from customize import Prompt, Sampling

    prompt = session.renderer.prompt([{"role": "user", "content": "Row 0?"}])
    [[said]] = session.sample([Prompt(prompt)], Sampling(max_tokens=8)).result()
    return str(session.renderer.decode(said.tokens)).strip()


def test_one_that_answers_its_rows_as_well_passes_and_says_so(
    source: Exportable, tmp_path: Path
) -> None:
    parity = judged(source, tmp_path, noise=0.0)
    assert parity is not None
    assert parity.passed
    assert parity.task is not None
    assert parity.task["verdict"] == "pass"
    assert "on 100 rows" in parity.task["told"]


def test_where_the_rows_are_too_few_to_tell_the_package_is_kept_and_says_so(
    source: Exportable, tmp_path: Path
) -> None:
    parity = judged(source, tmp_path, noise=0.0, count=3)
    assert parity is not None
    assert parity.passed
    assert parity.task is not None
    assert parity.task["verdict"] == "inconclusive"


def asked_of_short(source: Exportable, folder: Path, task: Task) -> Parity:
    """What becomes of a package that takes 200 tokens and answers as the run."""
    session: Any = Table(source.renderer, tables()[1])  # type: ignore[arg-type]
    exporter = TableFile(kept="int8", context=200)
    further = held_to_evaluation(task, exporter, source, session, margin=0.05)
    assert further is not None
    package = folder / "package"
    shutil.copytree(source.model.path, package)
    exporter.write(source, package)
    return further(PASSED, package)


@pytest.mark.parametrize(
    ("num_short", "told"),
    [
        (9, {"verdict": "inconclusive", "rows": "rows.jsonl (9 of 15 rows fit its context)"}),
        (0, {"verdict": "not asked"}),
    ],
)
def test_rows_that_a_package_has_no_room_for_are_left_out_and_that_is_said(
    source: Exportable, tmp_path: Path, num_short: int, told: dict[str, str]
) -> None:
    asked = ["Row 0?"] * num_short + ["x" * 175, "x" * 400] * 3
    rows = [
        {"messages": [{"role": "user", "content": content}], "expect": {"max_words": 50}}
        for content in asked
    ]
    task = Task(planned(EvaluationPlan(max_tokens=64)), "rows.jsonl", rows)
    parity = asked_of_short(source, tmp_path, task)
    assert parity.passed
    assert parity.task is not None
    assert told.items() <= parity.task.items()


def test_rows_whose_answers_are_weighed_must_fit_with_them(
    source: Exportable, tmp_path: Path
) -> None:
    def row(answer: str) -> dict[str, Any]:
        asked, said = {"role": "user", "content": "Row?"}, {"role": "assistant", "content": answer}
        return {"messages": [asked, said]}

    plan = EvaluationPlan(max_tokens=4, scorers=("perplexity",))
    task = Task(planned(plan), "rows.jsonl", [row("b"), row("c"), row("d" * 300)])
    parity = asked_of_short(source, tmp_path, task)
    assert parity.task is not None
    assert parity.task["rows"] == "rows.jsonl (2 of 3 rows fit its context)"


def test_one_that_is_worse_is_refused_by_the_first_row_it_lost(
    source: Exportable, tmp_path: Path
) -> None:
    parity = judged(source, tmp_path, noise=5.0)
    assert parity is not None
    assert parity.fault is not None
    assert "it is worse on the rows of" in parity.fault.told
    assert parity.fault.prompt == "row 1"


@pytest.mark.parametrize("kept", ["float32", "float16", "int8"])
def test_exact_weights_are_not_asked(source: Exportable, kept: str) -> None:
    session: Any = Table(source.renderer, np.zeros((256, 256)))  # type: ignore[arg-type]
    exporter = TableFile(kept=kept)
    task = Task(planned(EvaluationPlan()), "rows.jsonl", [])
    asked = held_to_evaluation(task, exporter, source, session, 0.05)
    assert (asked is None) == kept.startswith("float")


def test_without_rows_the_package_says_that_its_task_was_not_asked(source: Exportable) -> None:
    session: Any = Table(source.renderer, np.zeros((256, 256)))  # type: ignore[arg-type]
    exporter = TableFile(kept="int8")
    asked = held_to_evaluation("nothing was held out", exporter, source, session, 0.05)
    assert asked is not None
    parity = asked(PASSED, Path("nowhere"))
    assert parity.task is not None
    assert parity.task["verdict"] == "not asked"
    told = parity_text(parity.to_json())
    assert "the task: not asked: nothing was held out" in told


ASKED = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
RIGHT = {**ASKED, "expect": {"equals": "b"}}


def run_of(folder: Path, **changed: Any) -> RunFolder:
    """The folder of a run that was begun in ``folder``."""
    recipe = make_recipe(
        {
            "model": "toy",
            "data": "own.jsonl",
            "method": "sft",
            "to": "runs/one",
            **changed,
        }
    )
    run = RunFolder(folder / "runs" / "one")
    run.path.mkdir(parents=True, exist_ok=True)
    (run.path / "recipe.json").write_text(json.dumps(recipe.to_dict()), "utf-8")
    return run


def write_rows(folder: Path, **files: list[Any]) -> None:
    for name, rows in files.items():
        lines = "\n".join(json.dumps(row) for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, "utf-8")


def test_the_rows_are_those_that_the_runs_evaluation_asks(tmp_path: Path) -> None:
    write_rows(
        tmp_path,
        own=[RIGHT],
        right=[RIGHT],
        some=[RIGHT, ASKED],
        bad=[RIGHT, {"messages": []}],
        many=[{**RIGHT, "id": str(n)} for n in range(30)],
    )

    def task(validation: str | None, **changed: Any) -> Task:
        held_out = {} if validation is None else {"validation": f"{validation}.jsonl"}
        found = task_of(run_of(tmp_path, **held_out, **changed))
        assert isinstance(found, Task)
        return found

    def asking(validation: str | None, **changed: Any) -> str:
        return Path(task(validation, **changed).name).stem

    assert asking("right") == "right"
    assert asking("some", evaluate={"scorers": ["rouge_l"]}) == "some"
    assert task_of(run_of(tmp_path)) == (
        "the run's recipe evaluates on no rows, and holds out none"
    )
    assert asking("right", evaluate=False) == "right"
    assert asking("right", evaluate={"data": "own.jsonl"}) == "own"
    assert asking("bad", on_bad_rows="skip") == "bad"
    few = task("many", evaluate={"max_rows": 10})
    assert [row["id"] for row in few.rows] == [str(n) for n in range(0, 30, 3)]


def test_rows_are_called_by_no_folder_of_this_machine(tmp_path: Path) -> None:
    write_rows(tmp_path, own=[RIGHT])
    found = task_of(run_of(tmp_path, validation=str(tmp_path / "own.jsonl")))
    assert isinstance(found, Task)
    assert found.name == "own.jsonl"


def test_rows_that_say_nothing_of_right_are_weighed_as_the_run_was(tmp_path: Path) -> None:
    pair = {
        "messages": [{"role": "user", "content": "a"}],
        "chosen": [{"role": "assistant", "content": "b"}],
        "rejected": [{"role": "assistant", "content": "c"}],
    }
    write_rows(tmp_path, own=[ASKED], some=[RIGHT, ASKED], pairs=[pair])
    likely = task_of(run_of(tmp_path, validation="some.jsonl"))
    assert isinstance(likely, Task)
    assert [type(scorer) for scorer in likely.asked.scorers] == [Perplexity]
    assert len(likely.rows) == 2
    preferred = task_of(run_of(tmp_path, validation="pairs.jsonl", method="dpo"))
    assert isinstance(preferred, Task)
    assert [type(scorer) for scorer in preferred.asked.scorers] == [Choice, Perplexity]
    assert preferred.rows[0]["choices"] == ["b", "c"]


def short(row: Any, rng: random.Random) -> Any:
    reply = yield row["messages"][0]["content"]
    return 1.0 - len(reply.text) / 1000


def talks(row: Any, rng: random.Random) -> Any:
    """Longer than any package takes."""
    for _ in range(12):
        yield f"{row['messages'][0]['content']} {'x' * 40}"
    return 1.0


def test_rows_are_played_no_further_than_the_package_holds(
    source: Exportable, tmp_path: Path
) -> None:
    write_rows(tmp_path, own=[{"messages": ASKED["messages"][:1]}])
    plan = {"data": "own.jsonl", "environment": f"{__name__}:talks", "max_tokens": 16}
    task = task_of(run_of(tmp_path, evaluate=plan))
    assert isinstance(task, Task)
    parity = asked_of_short(source, tmp_path, task)
    assert parity.task is not None
    assert parity.task["verdict"] != "fail"


def test_rows_of_an_environment_are_played(source: Exportable, tmp_path: Path) -> None:
    write_rows(tmp_path, own=[{"messages": ASKED["messages"][:1]}])
    named = f"{__name__}:short"
    run = run_of(tmp_path, evaluate={"data": "own.jsonl", "environment": named})
    task = task_of(run)
    assert isinstance(task, Task)
    assert task.playing is not None
    session: Any = Table(source.renderer, tables()[1])  # type: ignore[arg-type]
    exporter = TableFile(kept="int8")
    further = held_to_evaluation(task, exporter, source, session, margin=0.05)
    assert further is not None
    package = tmp_path / "package"
    shutil.copytree(source.model.path, package)
    exporter.write(source, package)
    parity = further(PASSED, package)
    assert parity.task is not None
    assert parity.task["gate"] == "no_worse(reward, margin=0.05, than=run)"


def test_rows_are_found_from_where_the_run_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path, own=[ASKED], right=[RIGHT])
    monkeypatch.chdir(tmp_path.parent)
    assert isinstance(task_of(run_of(tmp_path, validation="right.jsonl")), Task)


@pytest.mark.parametrize(
    "changed",
    [{"validation": "gone.jsonl"}, {"evaluate": {"data": "gone.jsonl"}}],
    ids=["held out", "evaluated on"],
)
def test_rows_that_are_gone_are_refused_by_name_with_what_to_do(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    write_rows(tmp_path, own=[ASKED])
    run = run_of(tmp_path, **changed)
    renderer: Any = _AnyRenderer()
    told = r"gone\.jsonl.* cannot be read again(.|\n)*--without-rows"
    with pytest.raises(DataError, match=told):
        task_of(run)
    with pytest.raises(DataError, match=told):
        own_questions(run, renderer)


class _AnyRenderer:
    def prompt(self, messages: Any, tools: Any = None) -> Any:
        return np.zeros(1, np.int32)


@pytest.mark.parametrize(
    ("changed", "num", "told"),
    [
        ({"validation": "right.jsonl"}, 1, "right.jsonl"),
        ({"evaluate": {"data": "right.jsonl"}}, 1, "right.jsonl"),
        ({}, 6, "own.jsonl"),
        ({"validation": "3 rows"}, 6, "own.jsonl"),
        ({"data": "3 rows"}, 0, "they were given in Python, and cannot be read again"),
    ],
)
def test_a_package_says_which_rows_of_the_run_it_was_asked(
    tmp_path: Path, changed: dict[str, Any], num: int, told: str
) -> None:
    write_rows(tmp_path, own=[ASKED] * 24, right=[RIGHT])
    renderer: Any = _AnyRenderer()
    own = own_questions(run_of(tmp_path, **changed), renderer)
    assert own.to_json() == {"asked": num, "told": told}
    assert all(not question.is_kept for question in own.questions)


class _Counting:
    """A letter, a token."""

    def prompt(self, messages: Any, tools: Any = None) -> Any:
        return np.zeros(sum(len(message["content"]) for message in messages), np.int32)


def test_rows_that_leave_no_room_for_an_answer_are_not_asked(tmp_path: Path) -> None:
    def row(num_letters: int) -> dict[str, Any]:
        asked = {"role": "user", "content": "x" * num_letters}
        return {"messages": [asked, {"role": "assistant", "content": "b"}]}

    write_rows(tmp_path, own=[row(10), row(68), row(69), row(4096)], long=[row(4096)])
    renderer: Any = _Counting()
    own = own_questions(run_of(tmp_path), renderer, 100)
    assert [question.name for question in own.questions] == ["row 1", "row 2"]
    none = own_questions(run_of(tmp_path, validation="long.jsonl"), renderer, 100)
    assert none.to_json() == {
        "asked": 0,
        "told": "of long.jsonl none that was looked at leaves room for an answer in 100 tokens",
    }


def test_held_out_rows_of_python_are_not_asked_and_that_is_said(tmp_path: Path) -> None:
    assert task_of(run_of(tmp_path, validation="3 rows")) == (
        "the rows that the run holds out were given in Python, and cannot be read again"
    )


def test_the_method_may_have_been_an_instance(tmp_path: Path) -> None:
    write_rows(tmp_path, own=[ASKED], right=[RIGHT])
    run = run_of(tmp_path, validation="right.jsonl")
    file = run.path / "recipe.json"
    told = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**told, "method": "customize_sft.method:SFT"}), "utf-8")
    assert isinstance(task_of(run), Task)
    file.write_text(json.dumps({**told, "method": "nowhere:Method"}), "utf-8")
    why = task_of(run)
    assert isinstance(why, str)
    assert why.startswith("the run's method cannot be made again: no")
