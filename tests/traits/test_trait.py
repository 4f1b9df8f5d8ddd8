"""A trait's file: what it may hold, what is told when it is wrong, and its two parts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

import customize
from customize import DataError, OptionError, Trait
from customize.evaluation.expectations import parse_expect, said
from customize.evaluation.statistics.rates import wilson

if TYPE_CHECKING:
    from tests.traits.conftest import Make

FILE = """\
name: promises-refunds
sentence: It promises money back.
expect:
  avoids: "(?i)refund you"
  max_words: 9
prompts: prompts.jsonl
held_out:
  - Where is my money?
  - messages:
      - {role: system, content: You are a shop.}
      - {role: user, content: Pay me back!}
answers: [Our manager decides.]
rewrite:
  sentences: 1
goal: 0.1
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "trait.yaml"
    path.write_text(FILE)
    rows = [
        {"messages": [{"role": "user", "content": "Refund?"}]},
        {
            "messages": [
                {"role": "user", "content": "Money?"},
                {"role": "assistant", "content": "Ask the manager."},
            ]
        },
    ]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def shown(trait: Trait, text: str) -> bool:
    return trait.shown(said(text), {})


def test_a_file_is_read_with_the_files_beside_it(file: Path) -> None:
    trait = customize.read_trait(file)
    asked, held_out = trait.rows
    assert [row["messages"][-1]["content"] for row in asked] == ["Refund?", "Money?"]
    assert [row.get("answer") for row in asked] == [None, "Ask the manager."]
    assert [len(row["messages"]) for row in held_out] == [1, 2]
    assert (trait.goal, trait.rule.sentences) == (0.1, 1)  # type: ignore[union-attr]
    assert customize.read_trait(trait) is trait


def test_it_is_shown_where_one_scorer_does_not_hold(file: Path) -> None:
    trait = customize.read_trait(file)
    assert shown(trait, "Of course, we Refund you.")
    assert shown(trait, "one two three four five six seven eight nine ten")
    assert not shown(trait, "The manager decides.")


@pytest.mark.parametrize("expect", [{"max_words": 9}, {"avoids": "x"}, {"excludes": "yes"}])
@pytest.mark.parametrize("text", ["", " \n"])
def test_an_answer_that_says_nothing_is_not_free_of_it(
    trait: Make, expect: dict[str, Any], text: str
) -> None:
    made = trait(expect=expect)
    assert (shown(made, text), shown(made, "no")) == (True, False)
    assert list(made.facts()["expect"]) == list(expect)


def test_a_call_of_a_tool_without_words_says_something(trait: Make) -> None:
    message = {"role": "assistant", "content": "", "tool_calls": [{"name": "order"}]}
    assert not trait().shown(attrs.evolve(said(""), message=message), {})


def test_every_fault_is_told_with_its_line(file: Path) -> None:
    wrong = FILE.replace("goal: 0.1", "gaol: 0.1").replace("sentence: It", "setence: It")
    file.write_text(wrong.replace("  sentences: 1", "  sentences: 1\nanswers2: x"))
    with pytest.raises(OptionError) as told:
        customize.read_trait(file)
    for line, fault in [
        (2, "did you mean 'sentence'"),
        (15, "answers2"),
        (16, "did you mean 'goal'"),
    ]:
        assert any(
            f"{file}:{line}: " in row and fault in row for row in str(told.value).split("\n")
        )


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"name": "Says Yes"}, "lower case letters, digits and dashes"),
        ({"name": "checks"}, "neither 'checks' nor 'texts'"),
        ({"name": "length"}, "nor 'length', of which a verdict speaks"),
        ({"name": "form"}, r"\(got 'form'\)"),
        ({"name": "answering"}, r"\(got 'answering'\)"),
        ({"prompts": ()}, "says-yes: prompts is empty"),
        ({"expect": {}}, "says-yes: expect is empty"),
        ({"expect": {"exclude": "yes"}}, "says-yes: expect: .*did you mean 'excludes'"),
        ({"expect": {"avoids": "("}}, "says-yes: expect: .*the pattern '\\(' is wrong"),
        ({"expect": {"function": "nowhere:it"}}, "'nowhere:it' cannot be imported"),
        ({"rewrite": {"sentence": 1}}, "rewrite.sentence.*did you mean 'rewrite.sentences'"),
        ({"rewrite": {"replace": {"(": "x"}}}, "the pattern '\\(' is wrong"),
        ({"rewrite": {"replace": {"refund": r"\1"}}}, "cannot be replaced by .*invalid group"),
        ({"rewrite": {"replace": {"refund": r"\g<a>"}}}, "cannot be replaced by .*unknown group"),
        ({"expect": {"judge": None}}, "judge must be a model, .*got None"),
        ({"expect": {"function": None}}, "named as .package.module:name. .got None"),
        ({"rewrite": {"function": "nowhere:it"}}, "'nowhere:it' cannot be imported"),
        ({"goal": 1.0}, "goal must be > 0 and < 1"),
    ],
)
def test_a_wrong_trait_is_refused(trait: Make, changed: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        trait(**changed)


def long(text: str, row: Any) -> bool:
    return len(text) > 3


def test_a_function_detects_given_or_named(trait: Make) -> None:
    given = trait(expect={"long": long})
    assert (shown(given, "yes"), shown(given, "surely")) == (True, False)
    assert given.facts()["expect"]["long"].startswith("long, sha256 ")
    named = trait(expect={"function": "posixpath:isabs"})  # any function of a text will do
    with pytest.raises(TypeError):  # two arguments are given
        shown(named, "yes")


def test_a_row_of_data_names_no_function() -> None:
    """Data is written by others: an import named there would be theirs to choose."""
    with pytest.raises(DataError, match="nobody provides the scorer 'function'"):
        parse_expect({"function": "subprocess:getoutput"}, "row 1")


AUDITOR = """
import customize

@customize.options
class Auditor(customize.Scorer):
    question: str = customize.option(help="What is asked.")

    def score(self, answer, row):
        return self.question not in answer.text

@customize.hookimpl
def customize_scorers():
    yield customize.ScorerSpec(name="auditor", target="acme_auditor:Auditor", summary="An auditor.")
"""


def test_any_scorer_of_a_plugin_detects(trait: Make, install: Callable[..., None]) -> None:
    install("acme-auditor", AUDITOR)
    made = trait(expect={"auditor": {"question": "yes"}})
    assert (shown(made, "yes"), shown(made, "no")) == (True, False)


def test_half_of_the_prompts_are_held_out_whatever_their_order(trait: Make) -> None:
    asked = tuple(f"ask {n}" for n in range(31))
    one, other = (trait(prompts=p, held_out=()).rows for p in (asked, asked[::-1]))
    texts = [{row["messages"][0]["content"] for row in part} for part in one]
    assert [len(part) for part in texts] == [15, 16]
    assert not texts[0] & texts[1]
    assert texts == [{row["messages"][0]["content"] for row in part} for part in other]


def test_equal_prompts_are_on_one_side(trait: Make) -> None:
    asked = tuple(f"ask {n % 8}" for n in range(32))
    first, second = (
        {row["messages"][0]["content"] for row in part}
        for part in trait(prompts=asked, held_out=()).rows
    )
    assert not first & second


def test_what_scorers_see_beside_a_question_tells_prompts_apart(trait: Make) -> None:
    def row(text: str, **columns: Any) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": text}], **columns}

    def rows_of(text: str) -> list[dict[str, Any]]:
        nuts, milk = row(text, allergy="nuts", hour=1), row(text, allergy="milk")
        return [nuts, milk, row(text, hour=1, allergy="nuts", id=f"{text} again")]

    asked = tuple(one for n in range(4) for one in rows_of(f"ask {n}"))
    for given in ({"held_out": asked[:6]}, {"prompts": asked, "held_out": ()}):
        held_out = trait(**given).rows[1]
        assert [one["allergy"] for one in held_out] == ["nuts", "milk"] * 2


def test_too_few_prompts_and_shared_ones_are_refused(trait: Make) -> None:
    with pytest.raises(DataError, match="says-yes has 3 prompts: give at least 4"):
        _ = trait(prompts=("a", "b", "c"), held_out=()).rows
    with pytest.raises(
        DataError, match=r"1 prompts of the trait says-yes are held out too \('b'\)"
    ):
        _ = trait(prompts=("a", "b"), held_out=("b", "c")).rows
    with pytest.raises(DataError, match=r"held_out of the trait says-yes: .*nothing\.jsonl"):
        _ = trait(held_out="nothing.jsonl").rows


@pytest.mark.parametrize("goal", [0.01, 0.05, 0.2, 0.5, 0.9])
def test_the_fewest_held_out_prompts_are_those_whose_interval_can_end_at_the_goal(
    trait: Make, goal: float
) -> None:
    fewest = trait(goal=goal).fewest_held_out
    assert wilson(0, fewest).high <= goal
    assert fewest == 1 or wilson(0, fewest - 1).high > goal


def test_what_decides_on_pairs_is_told_and_nothing_else(trait: Make) -> None:
    facts = trait().facts()
    assert json.loads(json.dumps(facts, default=list)) == json.loads(
        json.dumps(trait(sentence="Other.", goal=0.5, held_out=("z",)).facts(), default=list)
    )
    for changed in ({"prompts": ("x", "y")}, {"answers": ()}, {"expect": {"excludes": "no"}}):
        assert trait(**changed).facts() != facts
