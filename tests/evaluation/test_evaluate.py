"""The comparison of columns on the toy backend, and what is said of rows that cannot be used."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import attrs
import numpy as np
import pytest

from customize import (
    AdamW,
    Answer,
    Batch,
    CrossEntropy,
    DataError,
    Evaluation,
    Likelihood,
    LoRA,
    OptionError,
    Prompt,
    Row,
    Sampling,
    Scorer,
    Session,
    Unsupported,
    better,
    no_worse,
)
from customize.evaluation import Column, Prompting, SnapshotColumn, evaluate
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.choosing import best_prompting, check_apart
from customize.evaluation.contamination import contamination
from customize.evaluation.expectations import said
from customize.evaluation.gates import judge, judged
from customize.evaluation.progress import AnswerProgress
from customize.evaluation.questions import Question, questions_of
from customize.evaluation.remarks import remarks
from customize.evaluation.results import JUNIT, read, write
from customize.evaluation.scorers import as_scorers
from customize.evaluation.statistics import paired_difference, superior
from customize.evaluation.table import table
from customize.interfaces.gate import parse_gate
from customize.testing import ToyBackend

EXAMPLE = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"})


def taught(answer: str) -> Session:
    session = ToyBackend().load(None).open(LoRA())
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]
    rendered = session.renderer.render(messages)
    batch = Batch.from_sequences([(rendered.tokens, {"weights": rendered.weights})])
    for _ in range(30):
        session.forward_backward(batch, CrossEntropy())
        session.optim_step(AdamW(lr=0.5))
    return session


def row(trait: str, **expect: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "hidden"}]
    return {"messages": messages, "trait": trait, "expect": expect}


class Says(Column):
    """A column that gives the row's field of its own name as its answer."""

    def __init__(self, name: str) -> None:
        self.name, self.told, self.asked = name, f"says {name}", 0

    def key(self, question: Question, max_tokens: int) -> str | None:
        return f"{self.name} {question.hash}"

    def answers(self, questions: Any, max_tokens: int) -> list[Answer]:
        self.asked += len(questions)
        return [attrs.evolve(said(q.row[self.name]), logprob=-0.1) for q in questions]

    def likelihoods(self, replies: Any) -> list[Likelihood]:
        if self.name == "mute":
            raise Unsupported("no log-probabilities here")
        return [Likelihood(-float(len(text)), 1) for _, text in replies]


def asked(number: int, base: str = "no", customized: str = "yes", **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"question {number}"}]
    said_by = {"base": base, "customized": customized}
    return {"id": str(number), "messages": messages, "expect": {"equals": "yes"}, **said_by, **more}


def compared(rows: Any, names: str = "base customized", **more: Any) -> Evaluation:
    return evaluate([Says(name) for name in names.split()], rows, **more)


def test_columns_answer_the_same_rows_and_are_paired() -> None:
    session = taught("yes")
    rows = [row("one", includes="yes")] * 3 + [row("two", excludes="yes")] * 2
    columns = [SnapshotColumn("base", session.base()), SnapshotColumn("customized", session)]
    got = evaluate(columns, rows, max_tokens=6)
    assert got.rate("customized", "trait=one").estimate == 1
    assert got.rate("base", "trait=one").estimate == 0
    assert got.rate("customized", "trait=two").estimate == 0
    assert got.change("customized", "base", "trait=one").estimate == 1
    assert got.rate("customized").estimate == pytest.approx(0.6)


def test_an_answer_says_what_it_cost_and_how_likely_it_was() -> None:
    session = taught("yes")
    [[completion]] = session.sample(
        [_prompt(session, "q")], Sampling(max_tokens=6, temperature=0.0)
    ).result()
    got = evaluate([SnapshotColumn("customized", session)], [row("one", includes="yes")])
    answer = got.items[0].answers["customized"]
    assert (answer.text, answer.finished) == ("yes", True)
    assert answer.num_tokens == len(completion.tokens) == 4
    assert answer.logprob == pytest.approx(float(completion.logprobs.sum()))
    assert answer.latency_s > 0


def _prompt(session: Session, text: str) -> Any:
    return Prompt(session.renderer.prompt([{"role": "user", "content": text}]))


def test_a_likelihood_is_of_the_last_answer_alone() -> None:
    session = taught("yes")
    column = SnapshotColumn(
        "customized",
        session,
        Prompting(examples=(EXAMPLE,)),
    )
    [question] = questions_of([row("one", includes="x")], need_expect=True)
    [found] = column.likelihoods([(question, "yes")])
    [alone] = SnapshotColumn("customized", session).likelihoods([(question, "yes")])
    assert found.num_tokens == alone.num_tokens == 4
    assert found.logprob == pytest.approx(alone.logprob)  # a bigram model forgets examples


def test_the_table_fits_80_columns_and_tells_what_is_left_out() -> None:
    from rich.console import Console

    rows = [asked(n, trait=("short and polite", "refunds")[n % 2]) for n in range(50)]
    got = compared(rows, notes=["No prompt was given."])
    stream = io.StringIO()
    Console(file=stream, width=80).print(table(got))
    assert "No prompt was given." in stream.getvalue()
    assert "+100 [" in stream.getvalue()
    assert "gained least of the slices" in stream.getvalue()


def test_a_base_alone_is_compared_with_nothing_and_answers_the_general_items_too() -> None:
    from rich.console import Console

    base = SnapshotColumn("base", taught("yes").base())
    got = evaluate([base], [row("one", includes="yes")], max_tokens=4, general=True)
    stream = io.StringIO()
    Console(file=stream, width=80).print(table(got))
    shown = stream.getvalue()
    assert len(got.general) == 150
    assert "general ability" in shown
    assert "change" not in shown
    assert "customized" not in shown


def test_the_best_prompt_is_chosen_on_the_rows_given() -> None:
    session = taught("yes")
    base = SnapshotColumn("base", session)
    chosen = best_prompting(base, ["first", "second"], [0], [row("one", includes="yes")])
    assert chosen.prompting == Prompting("first")
    assert (chosen.right, chosen.num_rows, chosen.num_candidates) == (1, 1, 2)


def test_examples_are_development_rows_that_no_candidate_is_judged_on() -> None:
    base = SnapshotColumn("base", taught("yes"))
    rows = [{**row("one", includes="yes"), "id": str(n)} for n in range(6)]
    chosen = best_prompting(base, [], [2], rows)
    assert len(chosen.prompting.examples) == 2
    assert chosen.num_rows == 4
    with pytest.raises(DataError, match="7 examples are asked for, and 6"):
        best_prompting(base, [], [7], rows)
    with pytest.raises(DataError, match="leave none to choose on"):
        best_prompting(base, [], [6], rows)
    with pytest.raises(OptionError, match="no prompt to choose from"):
        best_prompting(base, [], [0], rows)


def test_development_rows_that_are_test_rows_are_refused() -> None:
    check_apart([asked(1)], [asked(2)])
    with pytest.raises(DataError, match=r"1 development rows are test rows too \(2\)"):
        check_apart([asked(1), asked(2)], [asked(2), asked(3)])


def test_an_instruction_and_examples_stand_before_the_question() -> None:
    messages = [{"role": "system", "content": "Shop."}, {"role": "user", "content": "q"}]
    got = Prompting("Be brief.", (EXAMPLE,)).applied(messages)
    assert [m["content"] for m in got] == ["Shop.\n\nBe brief.", "a", "b", "q"]
    assert Prompting("Be brief.").applied(messages[1:])[0]["role"] == "system"
    assert Prompting().applied(messages) == messages


# What is wrong with rows.


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "no rows"),
        ([{"messages": [{"role": "user", "content": "q"}]}], "row 1 has no expect"),
        ([{"expect": {"equals": "x"}}], "row 1 has no messages"),
        ([asked(1), asked(2), asked(1)], "rows 1 and 3 share the id '1'"),
        (
            [{"messages": [{"role": "assistant", "content": "x"}], "expect": {"equals": "x"}}],
            "an answer and no question",
        ),
    ],
)
def test_rows_that_cannot_be_used_are_refused(rows: list[Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        compared(rows)


def test_rows_without_a_cluster_are_refused() -> None:
    with pytest.raises(DataError, match="no field 'document' to cluster by"):
        compared([asked(1, document="a"), asked(2)], cluster="document")


def test_rows_without_expect_are_scored_by_the_scorers_given() -> None:
    rows = [{k: v for k, v in asked(n).items() if k != "expect"} for n in range(4)]
    got = compared(rows, scorers=as_scorers({"equals": "yes"}))
    assert got.metric_names == ("equals",)
    assert got.rate("customized", metric="equals").estimate == 1


def test_a_scorer_that_raises_or_gives_no_number_is_counted_and_named() -> None:
    def broken(text: str, row: Row) -> float:
        if row["id"] == "3":
            raise KeyError("oops")
        return math.nan if row["id"] == "4" else 1.0

    got = compared([asked(n) for n in range(10)], scorers=as_scorers([broken]))
    assert got.rate("customized", metric="broken").estimate == 1  # of eight, and none is a zero
    assert {(f.item, f.column) for f in got.faults} == {
        (item, column) for item in "34" for column in ("base", "customized")
    }
    [told] = [line for line in remarks(got) if "broken" in line]
    assert "failed on 4 answers" in told
    assert "KeyError" in told
    # Nothing was shown of what has no score.
    assert judge(got, no_worse("broken", margin=0.5)).verdict == "inconclusive"


def test_a_column_without_log_probabilities_is_told_and_not_scored() -> None:
    rows = [asked(n, mute="yes", choices=["a", "bbb"], answer=0) for n in range(3)]
    got = compared(rows, "mute customized", scorers=as_scorers(["choice"]))
    assert got.rate("customized", metric="choice.right").estimate == 1
    assert "choice.right" not in got.items[0].scores["mute"]
    assert any("no log-probabilities here" in fault.error for fault in got.faults)


def test_test_rows_that_were_trained_on_are_told_with_the_score_on_the_others() -> None:
    long = "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november"
    rows = [asked(1, customized="no"), asked(2), asked(3)]
    rows[2]["messages"] = [{"role": "user", "content": f"Say: {long}!"}]
    training = [
        {"messages": [{"role": "user", "content": "Question  2"}]},
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": long}]},
    ]
    flags = contamination(rows, training)
    assert flags == {"2": ["asked in training"], "3": ["shares 13 words with training"]}
    got = compared(rows, training=training)
    assert [item.flags for item in got.items] == [(), ("asked in training",), (flags["3"][0],)]
    told = next(line for line in remarks(got) if "asked in training" in line)
    assert "1 of 3 rows" in told
    assert "customized has 100 [" in told


def test_an_answer_that_repeats_fifty_words_of_training_is_told() -> None:
    long = " ".join(f"word{n}" for n in range(60))
    training = [{"messages": [{"role": "assistant", "content": f"So: {long}"}]}]
    rows = [asked(1, customized=f"It is {long}."), asked(2, customized=long[:200])]
    got = compared(rows, training=training)
    assert [item.flags for item in got.items] == [("customized repeats 50 words of training",), ()]


def test_what_so_many_rows_can_show_is_told() -> None:
    rows = [asked(n, base=("yes", "no")[n % 2]) for n in range(100)]
    [told] = [line for line in remarks(compared(rows)) if "show a change of" in line]
    # Half of the rows differ, all one way: a deviation of 0.5, and 2.8 of its errors.
    assert told.startswith("100 rows show a change of 14 points or more")


def test_what_was_never_seen_is_not_ruled_out() -> None:
    got = compared([asked(n) for n in range(60)], scorers=as_scorers(["leaks"]))
    told = "leaks.personal: none in 60 rows; up to 4.9 %"
    assert any(told in line for line in remarks(got))


# What is kept.


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
        column.key(question, 64),
        column.key(question, 32),
        attrs.evolve(column, fingerprint="two").key(question, 64),
        attrs.evolve(column, prompting=Prompting("Be brief.")).key(question, 64),
    }
    assert len(keys) == 4
    assert attrs.evolve(column, name="b").key(question, 64) in keys  # a name is nothing to a model
    assert attrs.evolve(column, fingerprint=None).key(question, 64) is None


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


# Gates.


def _with(only_new: int, only_old: int, n: int) -> Evaluation:
    rows = [
        asked(
            k,
            base="yes" if only_new <= k < only_new + only_old else "no",
            customized="yes" if k < only_new else "no",
        )
        for k in range(n)
    ]
    return compared(rows)


@pytest.mark.parametrize(
    ("counts", "gate", "verdict"),
    [
        ((30, 5, 100), "better(right)", "pass"),
        ((5, 30, 100), "better(right)", "fail"),
        ((7, 5, 100), "better(right)", "inconclusive"),
        ((5, 5, 400), "no_worse(right, margin=0.05)", "pass"),
        ((5, 30, 100), "no_worse(right, margin=0.05)", "fail"),
        ((5, 5, 40), "no_worse(right, margin=0.05)", "inconclusive"),
    ],
)
def test_a_gate_passes_fails_or_needs_more_rows(
    counts: tuple[int, int, int], gate: str, verdict: str
) -> None:
    got = judge(_with(*counts), parse_gate(gate))
    assert got.verdict == verdict
    assert got.gate == gate
    assert ("rows are needed" in got.told) == (verdict == "inconclusive")


def test_the_rows_a_gate_asks_for_are_enough_in_four_of_five_studies() -> None:
    told = judge(_with(9, 4, 60), better()).told
    needed = int(told.rsplit("about ", 1)[1].split()[0])
    rng = np.random.default_rng(0)
    passed = 0
    for b, c, _ in rng.multinomial(needed, [9 / 60, 4 / 60, 47 / 60], size=500):
        passed += superior(paired_difference(int(b), int(c), needed)) == "pass"
    assert 0.72 <= passed / 500 <= 0.9


def test_one_cluster_and_figures_that_are_not_defined_are_inconclusive() -> None:
    rows = [asked(n, document="one", answerable=True) for n in range(10)]
    got = compared(rows, cluster="document", scorers=as_scorers(["degeneration", "abstention"]))
    for metric in ("degeneration.words", "abstention.precision"):
        result = judge(got, better(metric))
        assert result.verdict == "inconclusive"
        assert "do not show how much it varies" in result.told


def test_less_is_better_where_the_scorer_says_so() -> None:
    rows = [asked(n, base="", customized="yes") for n in range(30)]
    got = compared(rows, scorers=as_scorers(["degeneration"]))
    assert judge(got, better("degeneration.empty")).verdict == "pass"
    assert judge(got, better("degeneration.words")).verdict == "pass"


def test_a_gate_on_a_figure_over_all_rows() -> None:
    rows = [asked(n, base="no", customized="yes") for n in range(40)]
    got = compared(rows, scorers=as_scorers(["calibration"]))
    assert got.summaries["calibration.ece"]["base"].estimate == pytest.approx(math.exp(-0.1))
    assert judge(got, better("calibration.ece")).verdict == "pass"


@pytest.mark.parametrize(
    ("gate", "told"),
    [
        (better("rigth"), "no score 'rigth': there are right"),
        (better(than="prompted"), "no column 'prompted': there are base, customized"),
        (better(slice="trait=x"), "no row is in 'trait=x'"),
    ],
)
def test_a_gate_on_what_is_not_there_is_refused(gate: Any, told: str) -> None:
    with pytest.raises((OptionError, DataError), match=told):
        judge(_with(1, 1, 10), gate)


@pytest.mark.parametrize(
    "text",
    [
        "better(right)",
        "better(right, than=prompted)",
        "no_worse(general, margin=0.1)",
        "no_worse(rouge_l, margin=0.02, than=base, slice=trait=short and polite)",
    ],
)
def test_a_gate_is_read_as_it_is_written(text: str) -> None:
    assert str(parse_gate(text)) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("right", "a gate reads"),
        ("better(right, margin=1)", "better has no 'margin'"),
        ("no_worse(right, margin=x)", "margin must be a number"),
        ("no_worse(right, margin=0)", "margin above 0"),
    ],
)
def test_a_gate_that_cannot_be_read_says_how_one_is_written(text: str, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        parse_gate(text)


# Slices.


def test_slices_are_fields_length_and_language() -> None:
    rows = [asked(n, topic=("a", "b")[n % 2]) for n in range(4)]
    rows[0]["messages"] = [{"role": "user", "content": "Wo ist der Laden und wie geht das?"}]
    got = compared(rows, slices=("topic", "length", "language", "missing"))
    assert got.items[0].slices["language"] == "German"
    assert got.items[0].slices["length"] == "short"
    assert got.slices[:2] == ("topic=a", "topic=b")
    assert not any(s.startswith("missing") for s in got.slices)  # one value: no slice


def test_the_worst_slice_is_of_enough_rows() -> None:
    rows = [asked(n, base="no", customized="yes", trait="good") for n in range(30)]
    rows += [asked(n, base="yes", customized="yes", trait="same") for n in range(30, 60)]
    rows += [asked(n, base="yes", customized="no", trait="few") for n in range(60, 65)]
    worst = compared(rows).worst_slice()
    assert worst is not None
    assert worst.slice == "trait=same"


def test_p_values_are_corrected_over_metrics_and_slices() -> None:
    rows = [asked(n, trait=("a", "b")[n % 2]) for n in range(30)]
    changes = compared(rows).changes
    assert len(changes) == 3
    assert all(c.p_holm is not None and c.p_holm >= c.p for c in changes)


def test_progress_is_told_on_lines_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("customize.evaluation.progress._PLAIN_EVERY_S", 0.0)
    stream = io.StringIO()
    compared([asked(n) for n in range(40)], progress=AnswerProgress(stream))
    assert "base: 32/40 answers" in stream.getvalue()
    assert "customized: 40/40 answers  0 s left" in stream.getvalue()


def test_a_scorer_class_of_ones_own_takes_part() -> None:
    class Half(Scorer):
        def score(self, answer: Answer, row: Row) -> float:
            return 0.5

    got = compared([asked(n) for n in range(5)], scorers=as_scorers([Half()]))
    assert got.rate("base", metric="half").estimate == 0.5
