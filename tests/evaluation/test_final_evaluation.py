"""The evaluation that ends a run: of its held-out rows, unless the recipe says otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import customize
from customize import Batch, DataError, OptionError, Run, option, options
from customize.evaluation import Evaluation
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.results import read
from customize.plugins import load
from customize.runs.evaluating import Asked
from customize.runs.final_evaluation import is_evaluated
from customize.runs.held_out import _environment_of, of_held_out
from customize.testing import ToyBackend

pytest.importorskip("customize_sft")


def row(n: int, answer: str = "yes", **more: Any) -> dict[str, Any]:
    question = {"role": "user", "content": f"question {n}"}
    return {"messages": [question, {"role": "assistant", "content": answer}], **more}


ROWS = [row(n) for n in range(8)]
HELD_OUT = [row(n, "yes " * (1 + n % 3)) for n in range(20, 30)]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))


def train(to: Path, **settings: Any) -> Run:
    given = {"data": ROWS, "backend": ToyBackend(), "options": {"steps": 6, "lr": 0.3}, **settings}
    return customize.train(model="toy", to=to, **given)


def kept(run: Run) -> Evaluation:
    assert run.folder is not None
    return read(run.folder.evaluation)


def nats(run: Run, held_out: dict[str, Any], base: bool) -> float:
    """Nats a token of a row's answer, straight from log-probabilities."""
    snapshot = run.base if base else run.customized
    rendered = snapshot.renderer.render(held_out["messages"])
    batch = Batch.from_sequences([(rendered.tokens, {"weights": rendered.weights})])
    return -float(snapshot.forward(batch).result()[rendered.weights != 0].mean())


def test_held_out_answers_are_weighed_under_base_and_run_row_by_row(tmp_path: Path) -> None:
    run = train(tmp_path / "run", validation=HELD_OUT)
    got, metric = kept(run), "perplexity.nats_per_token"
    assert got.columns == ("base", "customized")
    for item, held_out in zip(got.items, HELD_OUT, strict=True):
        for column, base in (("base", True), ("customized", False)):
            assert item.scores[column][metric] == pytest.approx(nats(run, held_out, base), abs=1e-5)
    differences = [nats(run, r, False) - nats(run, r, True) for r in HELD_OUT]
    change = got.change("customized", "base", metric=metric)
    assert change.estimate == pytest.approx(np.mean(differences), abs=1e-5)
    assert change.high < 0
    assert not any(item.answers["customized"].text for item in got.items)
    card = (tmp_path / "run" / "README.md").read_text()
    assert "Customized is better than the base on 10 rows" in card
    assert "nats a token of the rows' own answers" in card
    assert any("No prompt was given" in note for note in got.notes)


def test_rows_with_an_expectation_are_answered_and_others_beside_them_weighed(
    tmp_path: Path,
) -> None:
    expecting = [row(n, expect={"includes": "yes"}) for n in range(20, 24)]
    assert kept(train(tmp_path / "all", validation=expecting)).metric_names == ("right",)
    got = kept(train(tmp_path / "some", validation=[*expecting, *HELD_OUT[4:]]))
    assert got.metric_names[0] == "right"
    assert [item.right("customized") for item in got.items] == [True] * 4 + [None] * 6
    assert all("perplexity.nats_per_token" in item.scores["base"] for item in got.items)
    card = (tmp_path / "some" / "README.md").read_text()
    assert "on 4 rows: 100" in card


def test_a_recipe_may_ask_more_of_the_held_out_rows(tmp_path: Path) -> None:
    many = [row(n, "yes", id=str(n)) for n in range(20, 60)]
    asks = {"prompts": ["Say yes."], "max_rows": 8}
    got = kept(train(tmp_path / "run", validation=many, evaluate=asks))
    assert got.columns == ("base", "prompted", "customized")
    assert [item.id for item in got.items] == [str(n) for n in range(20, 60, 5)]
    assert any(note.startswith("8 of 40 held-out rows") for note in got.notes)


def test_nothing_is_evaluated_where_it_is_switched_off_or_nothing_is_held_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(tmp_path / "off", validation=HELD_OUT, evaluate=False)
    assert run.folder is not None
    assert not run.folder.evaluation.exists()
    assert "evaluated" not in capsys.readouterr().err
    train(tmp_path / "none")
    told = capsys.readouterr().err
    assert "nothing was held out, so the run was not evaluated: customize split" in told
    assert not (tmp_path / "none" / "eval").exists()
    with pytest.raises(OptionError, match=r"evaluate\.data is missing: .*validation"):
        train(tmp_path / "asked", evaluate={"prompts": ["Say yes."]})


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"backend": ToyBackend(without={"sample"})}, "sample"),
        ({"validation": [row(1, id="a"), row(2, id="a")]}, "share the id 'a'"),
        ({"validation": [row(1, expect={"include": "x"})]}, "did you mean 'includes'"),
    ],
)
def test_what_cannot_be_evaluated_is_told_and_ends_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: dict[str, Any], why: str
) -> None:
    expecting = [row(n, expect={"includes": "yes"}) for n in range(20, 24)]
    run = train(tmp_path / "run", **{"validation": expecting, **settings})
    told = capsys.readouterr().err
    assert "the run was not evaluated: " in told
    assert why in told
    assert run.folder is not None
    assert run.folder.finished
    assert not is_evaluated(run.folder)


def test_what_a_recipe_asks_of_held_out_rows_must_be_possible(tmp_path: Path) -> None:
    twice = [row(1, id="a"), row(2, id="a")]
    with pytest.raises(DataError, match="share the id 'a'"):
        train(tmp_path / "run", validation=twice, evaluate={"prompts": ["Say yes."]})
    assert not (tmp_path / "run" / "recipe.json").exists()


def test_rows_that_chose_the_weights_are_told(tmp_path: Path) -> None:
    chosen = {"evaluate_every": 2, "keep_best": True}
    got = kept(train(tmp_path / "run", validation=HELD_OUT, **chosen))
    assert any("These rows chose the weights too" in note for note in got.notes)


def test_a_run_killed_in_its_evaluation_only_goes_on_with_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_out = [row(n, expect={"includes": "yes"}) for n in range(20, 24)]
    whole, calls = AnswerStore.keep, 0

    def dies(self: AnswerStore, found: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        whole(self, found)

    monkeypatch.setattr(AnswerStore, "keep", dies)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", validation=held_out)
    folder = tmp_path / "run"
    assert (folder / "finished.json").is_file()
    assert len((folder / "eval" / "answers.jsonl").read_text().split()) > 0
    before = (folder / "metrics.jsonl").read_bytes()
    calls = 2
    got = kept(train(folder, validation=held_out))
    assert calls == 3  # the base had answered
    assert got.columns == ("base", "customized")
    assert (folder / "metrics.jsonl").read_bytes() == before
    train(folder, validation=held_out)
    assert calls == 3


def test_an_evaluation_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    run = train(tmp_path / "run", validation=HELD_OUT, evaluate=False)
    mine = run.evaluate([row(1, expect={"includes": "yes"})], prompts="Say yes.")
    assert kept(train(tmp_path / "run", validation=HELD_OUT)).columns == mine.columns


def test_a_later_stage_is_evaluated_and_those_before_it_are_not(tmp_path: Path) -> None:
    stages = [
        {"name": "first", "data": ROWS, "validation": HELD_OUT, "options": {"steps": 2}},
        {"name": "second", "data": ROWS, "validation": HELD_OUT[:3], "options": {"steps": 2}},
    ]
    run = customize.train(model="toy", to=tmp_path / "run", backend=ToyBackend(), stages=stages)
    assert len(kept(run).items) == 3
    assert run.folder is not None
    assert not [inner for inner in run.folder.before if inner.evaluation.exists()]


def test_of_a_pair_the_chosen_answer_is_weighed_beside_the_rejected(tmp_path: Path) -> None:
    pytest.importorskip("customize_dpo")
    pairs = [
        {
            "messages": [{"role": "user", "content": f"q {n}"}],
            "chosen": [{"role": "assistant", "content": "yes"}],
            "rejected": [{"role": "assistant", "content": "no"}],
        }
        for n in range(6)
    ]
    got = kept(train(tmp_path / "run", data=pairs, validation=pairs, method="dpo"))
    assert got.metric_names[0] == "choice.right"
    assert got.rate("customized", metric="choice.right").estimate == 1
    assert "perplexity.bits_per_byte" in got.metric_names


def _starts_with_y(completion: str) -> float:
    return float(completion.startswith("y"))


def test_prompts_are_played_for_the_reward_that_was_learnt_from(tmp_path: Path) -> None:
    pytest.importorskip("customize_grpo")
    prompts = [{"messages": [{"role": "user", "content": f"q {n}"}]} for n in range(4)]
    options = {"steps": 1, "max_tokens": 3, "group_size": 2, "batch_size": 2}
    run = train(
        tmp_path / "run",
        data=prompts,
        validation=prompts,
        method="grpo",
        reward=_starts_with_y,
        options=options,
    )
    got = kept(run)
    assert got.metric_names[0] == "reward"
    assert {item.answers["base"].num_tokens <= 3 for item in got.items} == {True}


@customize.environment
def _wordy(row: Any, rng: Any) -> Any:
    try:
        yield row["messages"]
        yield "so " * 200
    except customize.OutOfRoom:
        return 0.0
    return 1.0


@pytest.mark.parametrize(
    ("limit", "turns", "most"),
    [({"observation_tokens": 8}, 2, 200), ({"max_length": 100}, 1, 100)],
)
def test_episodes_at_the_end_have_the_limits_of_training(
    limit: dict[str, int], turns: int, most: int, tmp_path: Path
) -> None:
    pytest.importorskip("customize_grpo")
    prompts = [{"messages": [{"role": "user", "content": f"q {n}"}]} for n in range(2)]
    options = {"steps": 1, "max_tokens": 3, "group_size": 2, "batch_size": 2, **limit}
    told = {"data": prompts, "validation": prompts, "environment": _wordy, "options": options}
    for item in kept(train(tmp_path / "run", method="grpo", **told)).items:
        assert item.scores["base"]["turns"] == turns
        assert item.answers["base"].num_prompt_tokens < most


@pytest.mark.parametrize("rewrites", ["refuse", "restart"])
def test_what_is_done_about_rewriting_templates_is_as_in_training(rewrites: str) -> None:
    pytest.importorskip("customize_grpo")
    method = load("method", "grpo")(reward=_starts_with_y, rewrites=rewrites)
    prompts = customize.read([{"messages": [{"role": "user", "content": "q"}]}], kind="prompt")
    _, playing = of_held_out(Asked(rows=None), prompts, method, 1).read()
    assert playing is not None
    assert playing.driver.rewrites == rewrites


def test_of_an_answer_its_calls_are_weighed_too(tmp_path: Path) -> None:
    def calling(n: int) -> dict[str, Any]:
        function = {"name": "look_up", "arguments": {"number": n}}
        call = {"type": "function", "id": "1", "function": function}
        answer = {"role": "assistant", "content": "", "tool_calls": [call]}
        return {"messages": [{"role": "user", "content": "Which?"}, answer]}

    held_out = [calling(1), calling(23456)]
    run = train(tmp_path / "run", validation=held_out)
    for item, one in zip(kept(run).items, held_out, strict=True):
        found = item.scores["customized"]["perplexity.nats_per_token"]
        assert found == pytest.approx(nats(run, one, base=False), abs=1e-5)


def test_lines_of_an_evaluation_are_those_of_the_items(tmp_path: Path) -> None:
    run = train(tmp_path / "run", validation=HELD_OUT)
    assert run.folder is not None
    lines = (run.folder.evaluation / "items.jsonl").read_text().splitlines()
    assert [json.loads(line)["question"] for line in lines] == [
        f"question {n}" for n in range(20, 30)
    ]


@options
class _Named(customize.Method):
    """Names its reward by an option."""

    data: ClassVar[str] = "prompt"
    needs: ClassVar[frozenset[str]] = frozenset()
    reward: Any = option(default=None, help="A function.")

    def num_steps(self, data: Any) -> int:
        return 1

    def train(self, session: Any, data: Any, resume: Any = None) -> Any:
        yield customize.Step(1, {})


@options
class _Playing(_Named):
    """Says itself what it plays, whatever its options are called."""

    def played(self) -> customize.Environment:
        return _wordy


def test_prompts_are_played_as_the_method_says_or_by_the_names_of_its_options() -> None:
    assert _environment_of(_Playing(reward=_starts_with_y)) is _wordy
    assert _environment_of(_Named()) is None
    named = _environment_of(_Named(reward=_starts_with_y))
    assert named is not None
    assert (named.name, named.seconds) == ("_starts_with_y", 30.0)
