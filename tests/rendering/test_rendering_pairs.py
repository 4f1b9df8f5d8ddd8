"""Sides of a trait's pairs, through real templates: the tokens that the model itself said."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import pytest

import customize
from customize import Trait
from customize.evaluation.expectations import said
from customize.evaluation.questions import questions_of
from customize.traits.pairing import found_in
from customize.traits.proposing import _writes

if TYPE_CHECKING:
    from tests.rendering.conftest import Make

ASK = {"role": "user", "content": "Where is it?"}
LOOK = {"type": "function", "function": {"name": "look", "arguments": {"at": "maps"}}}
TOOLS = [{"type": "function", "function": {"name": "look", "description": "Looks it up."}}]
CALLING = {"role": "assistant", "content": "", "tool_calls": [{"id": "call00000", **LOOK}]}
THINKING = {"role": "assistant", "content": "Over there.", "reasoning_content": "Hm."}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("granite", CALLING),  # whose markup of calls is of special tokens
        ("lfm2_v2", CALLING),
        ("qwen3", CALLING),
        ("qwen3", THINKING),
    ],
)
def test_a_good_answer_of_the_models_own_is_learnt_as_the_tokens_it_said(
    make: Make, template: str, message: dict[str, Any]
) -> None:
    renderer = make(template)
    whole = renderer.render([ASK, message], TOOLS).tokens.tolist()
    spoken = whole[len(renderer.prompt([ASK], TOOLS)) :]
    text, parts = renderer.decode(spoken).strip(), renderer.parse(spoken)
    answers = [said("yes"), attrs.evolve(said(text), message=parts, logprob=-1.0)]
    trait = Trait(
        name="says-yes", sentence="It does.", expect={"excludes": "yes"}, prompts=("a", "b")
    )
    [question] = questions_of([{"messages": [ASK], "tools": TOOLS}], need_expect=False)
    [pair] = found_in(trait, question, answers, 9, partial(_writes, renderer)).pairs
    row = customize.read([pair.to_json("says-yes")], kind="preference")[0]
    learnt = renderer.render([*row["messages"], *row["chosen"]], row["tools"])
    assert learnt.tokens.tolist() == whole
