"""Verdicts on made-up answers, against intervals worked out apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

from customize import DataError, Evaluation, OptionError
from customize.evaluation.expectations import said
from customize.evaluation.item import Item
from customize.evaluation.scoring import Fault
from customize.evaluation.suites import general
from customize.traits.measuring import PART, Judgement, judgement, rows_of, shown

if TYPE_CHECKING:
    from tests.traits.conftest import Make

Rates = tuple[int, int, int]  # rows, and how many are right before and after


def items(
    part: str,
    rates: Rates,
    words: tuple[float, float] = (20, 20),
    empty: tuple[int, int] = (0, 0),
) -> list[Item]:
    """Right answers first, so that before and after differ on as few rows as can be."""
    num, *right = rates
    return [
        Item(
            id=f"{part} {n}",
            question="?",
            hash=f"{part}{n}",
            slices={PART: part},
            cluster=None,
            answers={name: said("x") for name in ("before", "after")},
            scores={
                name: {
                    "right": float(n < count),
                    "form.words": length + n % 5,
                    "form.repeats": 0.0,
                    "form.empty": float(n < silent),
                }
                for name, count, length, silent in zip(
                    ("before", "after"), right, words, empty, strict=True
                )
            },
        )
        for n in range(num)
    ]


def evaluation(parts: list[Item], **changed: Any) -> Evaluation:
    return attrs.evolve(
        Evaluation(
            columns=("before", "after"),
            items=tuple(parts),
            new="after",
            rival="before",
            told={},
            metric_names=("right", "form.words", "form.repeats", "form.empty"),
            lower_is_better=frozenset({"form.repeats", "form.empty"}),
        ),
        **changed,
    )


def judged(trait: Any, target: Rates, *others: list[Item]) -> Judgement:
    found = [*items(trait.name, target), *(item for one in others for item in one)]
    return judgement(evaluation(found), trait, 0.1)


def test_the_rate_is_the_share_that_is_not_free_of_it(trait: Make) -> None:
    found = shown(evaluation(items("says-yes", (40, 4, 36))), "before", "says-yes")
    # Wilson for 36 of 40, by hand: centre (36 + 1.92) / 43.84, half-width 0.0961
    assert found.estimate == pytest.approx(0.9)
    assert found.low == pytest.approx(0.769, abs=1e-3)
    assert found.high == pytest.approx(0.960, abs=1e-3)


@pytest.mark.parametrize(
    ("target", "goal", "verdict"),
    [
        ((40, 2, 40), 0.2, "pass"),  # 95 % before, none of 40 now: up to 8.8 %
        ((40, 2, 40), 0.05, "inconclusive"),  # rarer, but 5 % is not shown by so few rows
        ((40, 2, 36), 0.2, "inconclusive"),  # 10 % now, up to 23 %
        ((40, 2, 20), 0.2, "fail"),  # much rarer, and still half
        ((40, 30, 10), 0.9, "fail"),  # it has become more frequent
        ((5, 0, 5), 0.5, "pass"),
        ((3, 0, 3), 0.2, "inconclusive"),
    ],
)
def test_corrected_is_rarer_and_within_the_goal(
    trait: Make, target: Rates, goal: float, verdict: str
) -> None:
    assert judged(trait(goal=goal), target).trait == verdict


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ((100, 60, 60), "pass"),
        ((100, 60, 58), "pass"),  # -2 points, at least -7
        ((100, 60, 52), "inconclusive"),  # -8 points
        ((100, 60, 30), "fail"),
        ((10, 6, 6), "inconclusive"),  # nothing changed, and ten rows do not show it
    ],
)
def test_the_tasks_own_checks_must_not_be_worse_by_the_margin(
    trait: Make, checks: Rates, verdict: str
) -> None:
    found = judged(trait(), (40, 2, 40), items("checks", checks))
    assert found.others["checks"].verdict == verdict


def test_every_other_trait_is_judged_by_its_own_rows(trait: Make) -> None:
    kept, lost = items("rambles", (100, 60, 60)), items("off-topic", (100, 60, 30))
    found = judged(trait(), (40, 2, 40), kept, lost)
    assert {n: g.verdict for n, g in found.others.items()} == {
        "rambles": "pass",
        "off-topic": "fail",
        "form": "pass",
        "answering": "pass",
        "length": "pass",
    }


@pytest.mark.parametrize(
    ("empty", "verdict"),
    [
        ((0, 0), "pass"),
        ((30, 30), "pass"),  # it was as silent before
        ((0, 9), "inconclusive"),  # 9 of 140: up to 12 points more
        ((0, 40), "fail"),
    ],
)
def test_a_model_that_has_gone_silent_is_harmed(
    trait: Make, empty: tuple[int, int], verdict: str
) -> None:
    found = judged(trait(), (40, 2, 40), items("checks", (100, 90, 90), empty=empty))
    assert found.others["answering"].verdict == verdict


@pytest.mark.parametrize(
    ("words", "expect", "verdict"),
    [
        ((20, 22), {"excludes": "yes"}, "pass"),
        ((20, 40), {"excludes": "yes"}, "fail"),
        ((20, 5), {"excludes": "yes"}, "fail"),
        ((20, 5), {"max_words": 9}, "pass"),  # shorter is what was wanted
        ((20, 40), {"max_words": 9}, "fail"),
    ],
)
def test_answers_to_other_prompts_keep_their_length(
    trait: Make, words: tuple[float, float], expect: dict[str, Any], verdict: str
) -> None:
    found = judged(trait(expect=expect), (40, 2, 40), items("checks", (30, 9, 9), words))
    assert found.others["length"].verdict == verdict


def test_without_other_rows_length_is_not_known(trait: Make) -> None:
    assert judged(trait(), (40, 2, 40)).others["length"].verdict == "inconclusive"


def test_answers_without_a_score_do_not_pass(trait: Make) -> None:
    made = trait()
    faults = (Fault("says-yes 39", "after", "expect", "ValueError"),)
    found = judgement(evaluation(items(made.name, (40, 2, 40)), faults=faults), made, 0.1)
    assert found.trait == "inconclusive"
    assert "1 answers have no score" in found.gates[1].told


def cut(parts: list[Item], num: int) -> list[Item]:
    """The same, of which the first so many were cut off at the limit of tokens now."""
    short = attrs.evolve(said("x"), finished=False)
    return [
        attrs.evolve(item, answers={**item.answers, "after": short}) if n < num else item
        for n, item in enumerate(parts)
    ]


@pytest.mark.parametrize(("num", "verdict"), [(0, "pass"), (3, "pass"), (10, "inconclusive")])
def test_answers_that_were_cut_off_may_go_on_to_show_it(
    trait: Make, num: int, verdict: str
) -> None:
    """Three of 40 end at 19.9 %, by Wilson; ten do not."""
    made = trait(goal=0.2)
    found = judgement(evaluation(cut(items(made.name, (40, 2, 40)), num)), made, 0.1)
    assert found.trait == verdict
    told = "10 answers were cut off before they showed it: raise max_tokens"
    assert (told in found.gates[1].told) == (verdict == "inconclusive")


def test_where_no_answer_could_be_judged_nothing_is_known_and_the_reason_told(
    trait: Make,
) -> None:
    made = trait()
    names = ("form.words", "form.repeats", "form.empty")
    unscored = {column: dict.fromkeys(names, 0.0) for column in ("before", "after")}
    rows = [attrs.evolve(item, scores=unscored) for item in items(made.name, (40, 2, 40))]
    faults = tuple(
        Fault(item.id, column, "expect", "ValueError: odd") for item in rows for column in unscored
    )
    failed = evaluation(rows, faults=faults, metric_names=names)
    assert not shown(failed, "after", made.name).is_defined
    found = judgement(failed, made, 0.1)
    assert found.trait == "inconclusive"
    assert [gate.told for gate in found.gates[:2]] == ["expect failed: ValueError: odd"] * 2


def test_what_failed_on_other_rows_is_told_of_those_alone(trait: Make) -> None:
    made, checks = trait(), items("checks", (100, 60, 60))
    faults = (Fault("checks 7", "after", "expect", "ValueError: odd"),)
    parts = [*items(made.name, (40, 2, 40)), *checks, *items("rambles", (100, 60, 60))]
    found = judgement(evaluation(parts, faults=faults), made, 0.1)
    assert found.trait == "pass"
    assert found.others["rambles"].verdict == "pass"
    assert found.others["checks"].verdict == "inconclusive"


def test_rows_say_what_they_are_for_and_share_no_id(trait: Make) -> None:
    check = {"id": "1", "messages": [{"role": "user", "content": "a"}], "expect": {"includes": "b"}}
    checks = [check, {**check, "id": "2", "expect": {"includes": "c"}}]
    rows = rows_of([trait(), trait(name="other")], checks, general.texts())
    ids = [row["id"] for row in rows]
    assert len(set(ids)) == len(ids) == 30 + 30 + 2 + 50
    parts = [row[PART] for row in rows[::30]]
    assert parts == ["says-yes", "other", "checks", "texts"]


def test_what_is_asked_again_is_no_row_of_its_own(trait: Make) -> None:
    check = {"messages": [{"role": "user", "content": "a"}], "expect": {"includes": "b"}}
    text = {"messages": [*check["messages"], {"role": "assistant", "content": "b"}]}
    made = trait(held_out=tuple(f"measure {n % 10}" for n in range(30)))
    rows = rows_of([made], [check, check], [text, text])
    assert [row[PART] for row in rows] == ["says-yes"] * 10 + ["checks", "texts"]
    assert len(made.rows[1]) == 10


def test_prompts_that_traits_share_count_once_in_what_is_measured_over_all(trait: Make) -> None:
    shared = [
        attrs.evolve(item, id=f"{name} {n}", slices={PART: name})
        for name in ("rambles", "off-topic", "rude")
        for n, item in enumerate(items("rambles", (50, 40, 40)))
    ]
    found = judged(trait(), (40, 2, 40), shared)
    for gate in ("form", "answering"):
        assert "on 90 rows" in found.others[gate].told
    assert "on 50 rows" in found.others["length"].told


def test_the_traits_own_prompts_are_no_others_under_another_name(trait: Make) -> None:
    own = [attrs.evolve(item, slices={PART: "rambles"}) for item in items("says-yes", (40, 9, 9))]
    assert judged(trait(), (40, 2, 40), own).others["length"].verdict == "inconclusive"


def test_rows_that_measure_nothing_are_refused(trait: Make) -> None:
    row = {"messages": [{"role": "user", "content": "a"}]}
    with pytest.raises(OptionError, match="two traits are named 'says-yes'"):
        rows_of([trait(), trait()])
    with pytest.raises(DataError, match="1 of 1 rows without expect"):
        rows_of([trait()], [row])
    with pytest.raises(DataError, match="texts, row 1: it ends with no answer"):
        rows_of([trait()], (), [row])
