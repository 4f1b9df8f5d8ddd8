"""The general suite: well-formed, and no fixed habit does well on it."""

from __future__ import annotations

import operator
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from customize.cli import evaluation_options
from customize.evaluation.expectations import parse_expect, said
from customize.evaluation.questions import questions_of
from customize.evaluation.suites.general import NUM_ITEMS, items, rows, texts

ITEMS = items()
CHOICES = [item for item in ITEMS if item.choices]


def test_there_are_300_items_each_asked_once() -> None:
    assert len(ITEMS) == NUM_ITEMS == 300
    assert len({item.id for item in ITEMS}) == 300
    assert len({item.question for item in ITEMS}) == 300


def test_what_the_script_makes_is_what_ships() -> None:
    script = Path(__file__).parents[2] / "docs" / "make_general_suite.py"
    subprocess.run([sys.executable, str(script), "--check"], check=True)


def test_fewer_items_are_always_the_same_and_each_kind_has_its_share() -> None:
    some = rows(100)
    assert [row["id"] for row in some] == [row["id"] for row in rows(100)]
    assert len(some) == 100
    whole = Counter(item.kind for item in ITEMS)
    for kind, count in Counter(row["trait"] for row in some).items():
        assert abs(count - whole[kind] / 3) <= 1
    assert len(rows()) == 300


def test_made_sums_are_right() -> None:
    signs = {
        "+": operator.add,
        "-": operator.sub,
        "times": operator.mul,
        "divided by": operator.truediv,
    }
    made = [item for item in ITEMS if item.kind == "arithmetic"]
    assert len(made) == 40
    for item in made:
        found = re.match(r"What is (\d+) (\D+) (\d+)\?", item.question)
        assert found
        value = signs[found[2]](int(found[1]), int(found[3]))
        right = item.choices[item.answer] if item.choices else item.expect["number"]  # type: ignore[index]
        assert float(right) == value


def test_texts_are_short_and_apart() -> None:
    found = [row["messages"][1]["content"] for row in texts()]
    assert len(set(found)) == len(found) == 50
    assert all(15 < len(text.split()) <= 90 for text in found)


def test_the_command_knows_how_many_there_are() -> None:
    assert evaluation_options.NUM_ITEMS == NUM_ITEMS


def test_the_suite_is_small() -> None:
    folder = Path(str(files("customize.evaluation.suites.general")))
    assert sum(file.stat().st_size for file in folder.glob("*.jsonl")) < 100_000


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
    assert len(questions_of(rows(), need_expect=True)) == 300


def test_an_echo_of_the_question_passes_almost_nothing() -> None:
    written = [item for item in ITEMS if not item.choices]
    passed = sum(parse_expect(i.expect, i.id).holds(said(i.question), {}) for i in written)
    assert passed <= 0.25 * len(written)


@pytest.mark.parametrize(
    "habit", ["I'm sorry, but I can't help with that.", "Yes, of course!", "4"]
)
def test_a_fixed_reply_passes_almost_nothing(habit: str) -> None:
    written = [item for item in ITEMS if not item.choices]
    passed = sum(parse_expect(i.expect, i.id).holds(said(habit), {}) for i in written)
    assert passed <= 0.12 * len(written)
