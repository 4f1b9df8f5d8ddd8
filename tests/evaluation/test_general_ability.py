"""What a customization broke: the general suite, general texts, and the distance from the base."""

from __future__ import annotations

import io
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from saying import Says, asked, row, taught

from customize import Evaluation, Prompt, Sampling, no_worse
from customize.evaluation import SnapshotColumn, Terms, evaluate
from customize.evaluation.answer_store import AnswerStore
from customize.evaluation.gates import judge
from customize.evaluation.general_ability import kl_to_base
from customize.evaluation.progress import AnswerProgress
from customize.evaluation.questions import Question
from customize.evaluation.remarks import broken
from customize.evaluation.results import read, write
from customize.evaluation.table import table

NUM = 60


def columns() -> list[SnapshotColumn]:
    session = taught("yes")
    return [
        SnapshotColumn("base", session.base(), fingerprint="base"),
        SnapshotColumn("customized", session, fingerprint="new"),
    ]


@pytest.fixture(scope="module")
def evaluated() -> Evaluation:
    return evaluate(columns(), [row("one", includes="yes")], Terms(max_tokens=4, general=NUM))


def test_the_suite_is_an_evaluation_of_its_own(evaluated: Evaluation) -> None:
    general = evaluated.general
    assert general is not None
    assert general.columns == ("base", "customized")
    rights = [item for item in general.items if "right" in item.scores["base"]]
    assert len(rights) == NUM
    assert {"trait=arithmetic", "trait=format", "trait=refusals"} <= set(general.slices)
    for metric in ("degeneration.empty", "degeneration.words", "text.bits_per_byte"):
        assert general.rate("base", metric=metric)
    assert evaluated.general_change() == general.change("customized", "base")


def test_only_what_is_written_is_answered(evaluated: Evaluation) -> None:
    assert evaluated.general is not None
    answered = {i.id for i in evaluated.general.items if i.answers["base"].num_tokens}
    assert answered == {
        i.id for i in evaluated.general.items if "degeneration.empty" in i.scores["base"]
    }
    assert not any(id.startswith(("text/", "choice/")) for id in answered)


def test_gates_speak_of_the_suites_metrics_and_kinds(evaluated: Evaluation) -> None:
    gates = ("general", "general.kl_to_base", "general.text.bits_per_byte")
    told = [judge(evaluated, no_worse(gate, margin=50.0)) for gate in gates]
    assert [result.verdict for result in told] == ["pass"] * 3
    assert judge(evaluated, no_worse("general.kl_to_base", margin=1e-6)).verdict == "fail"
    assert (
        "customized against base"
        in judge(evaluated, no_worse("general", margin=0.5, slice="trait=arithmetic")).told
    )


def test_it_is_told_in_a_line_and_read_again(evaluated: Evaluation, tmp_path: Path) -> None:
    assert evaluated.general is not None
    [line] = broken(evaluated.general)
    assert "nats a token from the base" in line
    assert "bits a byte of general text" in line
    write(evaluated, tmp_path)
    again = read(tmp_path)
    assert again.general is not None
    assert again.general.changes == evaluated.general.changes
    assert again.general_verdict() == evaluated.general_verdict()


def test_the_distance_is_that_of_log_probabilities_on_the_bases_own_answers() -> None:
    base, new = columns()
    questions = [Question(str(n), {}, [{"role": "user", "content": f"q{n}"}]) for n in range(5)]
    got = kl_to_base(base, new, questions, AnswerStore(), _quiet)
    tables = [_table(column) for column in (base, new)]
    for question, value in zip(questions, got, strict=True):
        tokens = base.snapshot.renderer.prompt(question.messages)
        seed = int(question.hash[:8], 16)
        [[drawn]] = base.snapshot.sample(
            [Prompt(tokens, seed=seed)], Sampling(max_tokens=24, temperature=1.0)
        ).result()
        path = [int(tokens[-1]), *map(int, drawn.tokens)]
        steps = list(itertools.pairwise(path))
        ours, theirs = (sum(t[a, b] for a, b in steps) for t in tables)
        assert value == pytest.approx((ours - theirs) / len(steps), rel=1e-4)
    none = kl_to_base(base, base, questions, AnswerStore(), _quiet)
    assert none == pytest.approx([0.0] * 5, abs=1e-6)


def _table(column: SnapshotColumn) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The toy model's log-probabilities, made of its logits by a plain softmax."""
    logits = column.snapshot
    raw = getattr(logits, "_table", None)
    if raw is None:  # a session: its base's logits and what was learnt
        raw = logits._engine.table_VV + logits._delta  # type: ignore[attr-defined]
    return np.asarray([[x - math.log(sum(np.exp(r))) for x in r] for r in raw])


def test_the_distance_is_computed_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    base, new = columns()
    questions = [Question("1", {}, [{"role": "user", "content": "q"}])]
    file = tmp_path / "answers.jsonl"
    first = kl_to_base(base, new, questions, AnswerStore(file), _quiet)
    monkeypatch.setattr(SnapshotColumn, "drawn", None)
    assert kl_to_base(base, new, questions, AnswerStore(file), _quiet) == first


def _quiet(count: int) -> None:
    pass


def test_the_distance_is_a_part_of_the_progress() -> None:
    stream = io.StringIO()
    progress = AnswerProgress(stream)
    terms = Terms(max_tokens=4, general=NUM)
    evaluate(columns(), [row("one", includes="yes")], terms, progress=progress)
    assert "customized: 30/30 distances from the base  took" in stream.getvalue()


def test_columns_behind_an_interface_have_no_distance() -> None:
    pair = [_Answers("base"), _Answers("customized")]
    got = evaluate(pair, [asked(1)], Terms(general=20))
    assert got.general is not None
    assert "kl_to_base" not in got.general.metric_names


class _Answers(Says):
    def answers(self, questions: object, draw: object) -> list[object]:  # type: ignore[override]
        from customize.evaluation.expectations import said

        return [said("yes") for _ in questions]  # type: ignore[attr-defined]


def test_a_base_alone_is_compared_with_nothing_and_answers_the_general_items_too() -> None:
    from rich.console import Console

    got = evaluate(columns()[:1], [row("one", includes="yes")], Terms(max_tokens=4, general=NUM))
    stream = io.StringIO()
    Console(file=stream, width=80).print(table(got))
    shown = stream.getvalue()
    assert got.general is not None
    assert "kl_to_base" not in got.general.metric_names
    assert "general ability" in shown
    assert "change" not in shown
    assert "customized" not in shown
