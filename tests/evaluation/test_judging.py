"""A model as judge: what it is asked, what its verdicts are worth, and what people said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from saying import Says, asked

from customize import Answer, DataError, Evaluation, Likelihood, OptionError, better
from customize.evaluation import Column, Draw, Terms, evaluate
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.expectations import said
from customize.evaluation.families import family_of
from customize.evaluation.gates import judge as judge_gate
from customize.evaluation.judging import Judge, read_labels
from customize.evaluation.judging.prompts import verdict
from customize.evaluation.questions import Question
from customize.evaluation.remarks import remarks
from customize.training.evaluation_plan import EvaluationPlan, JudgePlan, judge_plan_of


class Judges(Column):
    """Judges by rule: an answer that begins with yes is good; ``first`` prefers a place."""

    def __init__(self, habit: str = "fair", family: str | None = None) -> None:
        self.name, self.told, self.family = "the judge", "a rule", family
        self.habit = habit
        self.heard: list[str] = []

    def key(self, question: Question, draw: Draw) -> str | None:
        return f"judge {self.habit} {question.hash}"

    def answers(self, questions: Any, draw: Draw) -> list[Answer]:
        self.heard += [q.text for q in questions]
        return [said(self._said(q.text)) for q in questions]

    def likelihoods(self, replies: Any) -> list[Likelihood]:
        return []

    def _said(self, text: str) -> str:
        if self.habit == "mute":
            return "I cannot say."
        if "<answer-a>" not in text:
            return "Verdict: yes" if "<answer>\nyes" in text else "It is not. Verdict: no"
        if self.habit == "first":
            return "**Verdict:** A"
        first, second = ("<answer-a>\nyes" in text, "<answer-b>\nyes" in text)
        return f"Verdict: {'tie' if first == second else 'A' if first else 'B'}"


def judged(rows: Any, judges: Column | None = None, labels: Any = None, **plan: Any) -> Evaluation:
    made = Judge(judges or Judges(), JudgePlan(model="x", **plan), *([labels] if labels else []))
    return evaluate([Says("base"), Says("customized")], rows, Terms(judge=made))


def without_expect(number: int, **more: Any) -> dict[str, Any]:
    return {k: v for k, v in asked(number, **more).items() if k != "expect"}


def test_a_judge_scores_every_column_and_rows_need_no_expect() -> None:
    got = judged([without_expect(n) for n in range(30)])
    assert got.metric_names == ("judge",)
    assert got.rate("customized", metric="judge").estimate == 1
    assert got.rate("base", metric="judge").estimate == 0
    assert judge_gate(got, better("judge")).verdict == "pass"


def test_the_judge_sees_question_documents_answer_and_the_rows_own_answer() -> None:
    row = asked(1, documents=[{"title": "Hours", "text": "Nine to five."}])
    row["messages"] = [*row["messages"], {"role": "assistant", "content": "indeed"}]
    judges = Judges()
    judged([row], judges, criterion="It is kind.")
    [seen] = [text for text in judges.heard if "<answer>\nyes" in text]
    for part in ("It is kind.", "user: question 1", "Nine to five.", "indeed", "follow no instr"):
        assert part in seen


def test_pairs_are_asked_in_both_orders_and_a_habit_for_a_place_cancels() -> None:
    rows = [asked(n, base="yes" if n < 10 else "no") for n in range(40)]
    fair = judged(rows, of="pairs")
    assert fair.rate("customized", metric="judge").estimate == (30 + 0.5 * 10) / 40
    assert fair.rate("customized", metric="judge.steady").estimate == 1
    assert fair.change("customized", "base", metric="judge").estimate == 0.75
    judges = Judges("first")
    habit = judged(rows, judges, of="pairs")
    assert len(judges.heard) == 80
    assert habit.rate("customized", metric="judge").estimate == 0.5
    assert any("In 0 % of 40 pairs it says the same" in line for line in remarks(habit))


def test_a_judge_without_a_verdict_is_counted_and_named() -> None:
    got = judged([asked(n) for n in range(5)], Judges("mute"))
    assert "judge" not in got.metric_names
    assert len(got.faults) == 10
    assert any("judge failed on 10 answers" in line for line in remarks(got))
    pairs = judged([asked(n) for n in range(5)], Judges("mute"), of="pairs")
    assert len(pairs.faults) == 5


def test_pairs_of_one_column_are_refused() -> None:
    made = Judge(Judges(), JudgePlan(model="x", of="pairs"))
    with pytest.raises(OptionError, match="a judge of pairs needs two columns"):
        evaluate([Says("base")], [asked(1)], Terms(judge=made))


def test_verdicts_are_asked_for_once(tmp_path: Path) -> None:
    store, judges = AnswerStore(tmp_path / "answers.jsonl"), Judges()
    made, rows = Judge(judges, JudgePlan(model="x")), [asked(n) for n in range(6)]
    for _ in range(2):
        evaluate([Says("base"), Says("customized")], rows, Terms(judge=made), store=store)
    assert len(judges.heard) == 12


@pytest.mark.parametrize(
    ("text", "of_pairs", "value"),
    [
        ("Verdict: yes", False, 1.0),
        ("It says Verdict: yes, but no.\nverdict: NO.", False, 0.0),
        ('So "Verdict: B"', True, 0.0),
        ("**Verdict:** A", True, 1.0),
        ("Verdict: tie", True, 0.5),
    ],
)
def test_the_last_verdict_counts(text: str, of_pairs: bool, value: float) -> None:
    assert verdict(text, of_pairs) == value


@pytest.mark.parametrize(("text", "of_pairs"), [("yes", False), ("Verdict: A", False)])
def test_what_is_no_verdict_is_none(text: str, of_pairs: bool) -> None:
    with pytest.raises(ValueError, match="no verdict"):
        verdict(text, of_pairs)


# People.


def labels_file(folder: Path, lines: list[dict[str, Any]]) -> Path:
    path = folder / "labels.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_labels_give_agreement_and_put_the_rate_right(tmp_path: Path) -> None:
    # People find a third of what the judge finds good to be bad.
    rows = [asked(n, customized="yes" if n % 2 else "maybe") for n in range(200)]
    lines = [
        {"id": str(n), "answer": r["customized"], "label": int(n % 2 == 1 and n % 3 != 0)}
        for n, r in enumerate(rows[:120])
    ]
    got = judged(rows, labels=read_labels(labels_file(tmp_path, lines), of_pairs=False))
    assert got.rate("customized", metric="judge").estimate == 0.5
    corrected = got.summaries["judge.corrected"]["customized"]
    assert corrected.low < 1 / 3 < corrected.high < 0.5
    # By hand: 40 yes-yes, 20 yes-no, 60 no-no of 120.
    assert got.summaries["judge.kappa"]["customized"].estimate == pytest.approx(2 / 3)
    assert "customized - base" not in got.summaries["judge.corrected"]
    assert not any("No person labelled" in line for line in remarks(got))


def test_labels_of_pairs_hold_in_either_order(tmp_path: Path) -> None:
    rows = [asked(n, base="yes" if n < 10 else "no") for n in range(60)]
    lines = [{"id": str(n), "answer": "no", "other": "yes", "label": 0} for n in range(10, 60)] + [
        {"id": str(n), "answer": "yes", "other": "yes", "label": 0.5} for n in range(10)
    ]
    labels = read_labels(labels_file(tmp_path, lines), of_pairs=True)
    got = judged(rows, labels=labels, of="pairs")
    assert got.summaries["judge.kappa"]["customized"].estimate == pytest.approx(1)
    change = got.summaries["judge.corrected"]["customized - base"]
    assert change.estimate == pytest.approx(
        got.change("customized", "base", metric="judge").estimate
    )
    result = judge_gate(got, better("judge.corrected"))
    assert result.verdict == "pass"


def test_few_labels_are_told_and_one_shows_nothing(tmp_path: Path) -> None:
    lines = [{"id": "1", "answer": "yes", "label": 1}]
    labels = read_labels(labels_file(tmp_path, lines), of_pairs=False)
    got = judged([asked(n) for n in range(30)], labels=labels)
    assert any("1 labels are few" in line for line in remarks(got))
    corrected = got.summaries["judge.corrected"]["customized"]
    assert (corrected.low, corrected.high) == (0, 1)
    assert any("No person labelled" in x for x in remarks(judged([asked(1)])))


@pytest.mark.parametrize(
    "line",
    ['{"id": 1, "answer": "a", "label": 1}', '{"id": "1", "answer": "a", "label": 7}', "[]", "no"],
)
def test_a_label_that_is_none_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(f'{{"id": "1", "answer": "a", "label": 1}}\n{line}\n')
    with pytest.raises(DataError, match="line 2"):
        read_labels(path, of_pairs=False)
    with pytest.raises(DataError, match="should hold people's labels"):
        read_labels(tmp_path / "none.jsonl", of_pairs=False)


# Kinship.


def test_a_judge_of_the_same_family_is_flagged() -> None:
    columns = [Says("base", "qwen"), Says("customized", "qwen")]
    for family, told in (("qwen", True), ("gpt", False)):
        made = Judge(Judges(family=family), JudgePlan(model="x"))
        got = evaluate(columns, [asked(1)], Terms(judge=made))
        assert (
            any("of the same family (qwen) as base, customized" in x for x in remarks(got)) == told
        )


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Qwen/Qwen3-8B", "qwen"),
        ("smollm2", "smollm"),
        ("meta-llama/Llama-3.1-8B", "llama"),
        ("gpt-4o-mini", "gpt"),
        ("openai/gpt-oss-20b", "gpt"),
        ("mistralai/Mixtral-8x7B", "mistral"),
        ("acme/graphics-1", None),
    ],
)
def test_families_are_told_by_name(name: str, family: str | None) -> None:
    assert family_of(name) == family


def test_a_judge_that_is_misspelt_is_refused_before_the_work() -> None:
    with pytest.raises(OptionError, match=r"did you mean 'judge.model'|judge\.model is missing"):
        judge_plan_of({"modle": "x"})
    with pytest.raises(OptionError, match=r"judge\.of must be one of answers, pairs"):
        EvaluationPlan(data="x", judge={"model": "x", "of": "triples"})
    assert judge_plan_of({"model": "x"}) == JudgePlan(model="x")
