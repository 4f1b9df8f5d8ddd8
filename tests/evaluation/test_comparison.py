"""The comparison of columns on the toy backend: rates, changes, slices, and what is shown."""

from __future__ import annotations

import io
from typing import Any

import pytest
from saying import asked, compared, row, taught

from customize import (
    Answer,
    Prompt,
    Row,
    Sampling,
    Scorer,
    Session,
)
from customize.evaluation import Prompting, SnapshotColumn, Terms, evaluate
from customize.evaluation.progress import AnswerProgress
from customize.evaluation.questions import questions_of
from customize.evaluation.remarks import remarks
from customize.evaluation.scorers import as_scorers
from customize.evaluation.table import table

EXAMPLE = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"})


def test_columns_answer_the_same_rows_and_are_paired() -> None:
    session = taught("yes")
    rows = [row("one", includes="yes")] * 3 + [row("two", excludes="yes")] * 2
    columns = [SnapshotColumn("base", session.base()), SnapshotColumn("customized", session)]
    got = evaluate(columns, rows, Terms(max_tokens=6))
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


def test_a_column_without_log_probabilities_is_told_and_not_scored() -> None:
    rows = [asked(n, mute="yes", choices=["a", "bbb"], answer=0) for n in range(3)]
    got = compared(rows, "mute customized", scorers=as_scorers(["choice"]))
    assert got.rate("customized", metric="choice.right").estimate == 1
    assert "choice.right" not in got.items[0].scores["mute"]
    assert any("no log-probabilities here" in fault.error for fault in got.faults)


def test_what_so_many_rows_can_show_is_told() -> None:
    rows = [asked(n, base=("yes", "no")[n % 2]) for n in range(100)]
    [told] = [line for line in remarks(compared(rows)) if "show a change of" in line]
    # Half of the rows differ, all one way: a deviation of 0.5, and 2.8 of its errors.
    assert told.startswith("100 rows show a change of 14 points or more")


def test_long_names_leave_room_for_their_figures() -> None:
    from rich.console import Console

    def a_scorer_whose_name_is_far_too_long_for_a_terminal(text: str, row: Row) -> float:
        return 1234.5

    scorers = as_scorers([a_scorer_whose_name_is_far_too_long_for_a_terminal])
    stream = io.StringIO()
    Console(file=stream, width=80).print(table(compared([asked(1), asked(2)], scorers=scorers)))
    [line] = [line for line in stream.getvalue().splitlines() if "a_scorer_whose" in line]
    assert "1.23e+03 [1.23e+03, 1.23e+03]" in line
    assert "\u2026" in line


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
    assert "customized: 40/40 answers  took 0 s" in stream.getvalue()


def test_the_last_count_of_each_column_is_told_and_none_of_nothing() -> None:
    stream = io.StringIO()
    compared([asked(n) for n in range(40)], progress=AnswerProgress(stream))
    assert stream.getvalue().splitlines() == [
        f"{name}: 40/40 answers  took 0 s" for name in ("base", "customized")
    ]


def test_what_is_only_weighed_is_counted_too() -> None:
    stream = io.StringIO()
    rows = [asked(n, choices=["a", "bbb"], answer=0) for n in range(40)]
    scorers = as_scorers(["choice"])
    compared(rows, progress=AnswerProgress(stream), scorers=scorers)
    told = "base: 80/80 likelihoods  took 0 s"
    assert stream.getvalue().splitlines()[:2] == ["base: 40/40 answers  took 0 s", told]


def test_a_scorer_class_of_ones_own_takes_part() -> None:
    class Half(Scorer):
        def score(self, answer: Answer, row: Row) -> float:
            return 0.5

    got = compared([asked(n) for n in range(5)], scorers=as_scorers([Half()]))
    assert got.rate("base", metric="half").estimate == 0.5
