"""The general suite: well-formed, and no fixed habit does well on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from customize.evaluation.expectations import parse_expect, said
from customize.evaluation.questions import questions_of
from customize.evaluation.suites.general import items, rows

ITEMS = items()
CHOICES = [item for item in ITEMS if item.choices]


def test_there_are_150_items_each_asked_once() -> None:
    assert len(ITEMS) == 150
    assert len({item.id for item in ITEMS}) == 150
    assert len({item.question for item in ITEMS}) == 150


def test_each_choice_is_different_and_the_answer_is_one_of_them() -> None:
    for item in CHOICES:
        assert len(set(item.choices)) == len(item.choices) >= 3
        assert 0 <= item.answer < len(item.choices)


def test_no_place_holds_more_than_its_share_of_answers() -> None:
    places = Counter(item.answer for item in CHOICES)
    assert max(places.values()) <= 0.35 * len(CHOICES)


def test_the_longest_or_shortest_choice_is_no_guide() -> None:
    for pick in (max, min):
        right = sum(
            item.choices.index(pick(item.choices, key=len)) == item.answer for item in CHOICES
        )
        assert right <= 0.45 * len(CHOICES)


def test_a_plugin_with_a_scorers_name_changes_nothing(
    install: Callable[[str, str], None],
) -> None:
    install(
        "acme-words",
        "import customize\n@customize.hookimpl\ndef customize_scorers():\n"
        "    for name in ('choice', 'includes', 'matches'):\n"
        "        yield customize.ScorerSpec(name=name, target='json:loads', summary='Words.')\n",
    )
    assert len(questions_of(rows(), need_expect=True)) == 150


def test_an_echo_of_the_question_passes_almost_nothing() -> None:
    written = [item for item in ITEMS if not item.choices]
    passed = sum(parse_expect(i.expect, i.id).holds(said(i.question), {}) for i in written)
    assert passed <= 0.25 * len(written)
