"""Pairs from answers: which are undesired, and where desired ones come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

import customize
from customize import Answer, DataError
from customize.evaluation.expectations import said
from customize.evaluation.questions import Question, questions_of
from customize.traits.pairing import check_given, found_in
from customize.traits.rewriting import Rewrite

if TYPE_CHECKING:
    from tests.traits.conftest import Make


def question(text: str = "Pizza?", **columns: Any) -> Question:
    row = {"messages": [{"role": "user", "content": text}], **columns}
    [made] = questions_of([row], need_expect=False)
    return made


def answer(text: str, logprob: float = -1.0, finished: bool = True) -> Answer:
    """Its tokens are its words."""
    return attrs.evolve(
        said(text), logprob=logprob, num_tokens=len(text.split()), finished=finished
    )


def sides(trait: Any, answers: list[Answer], most: int = 9, **columns: Any) -> list[Any]:
    found = found_in(trait, question(**columns), answers, most)
    return [(pair.rejected, pair.chosen, pair.source) for pair in found.pairs]


def test_the_rows_own_answer_comes_first_then_the_traits_then_the_models(trait: Make) -> None:
    said_now = [answer("yes"), answer("no way")]
    made = trait(answers=("never",))
    assert sides(made, said_now, answer="nope") == [("yes", "nope", "given")]
    assert sides(made, said_now) == [("yes", "never", "given")]
    assert sides(trait(answers=()), said_now) == [("yes", "no way", "sampled")]


def test_the_best_of_the_models_own_is_the_likeliest_a_token(trait: Make) -> None:
    drawn = [answer("yes"), answer("no", -3.0), answer("no no no no", -4.0), answer("not", -2.0)]
    assert sides(trait(answers=()), drawn) == [("yes", "no no no no", "sampled")]


def test_an_answer_that_was_cut_off_is_no_desired_one(trait: Make) -> None:
    drawn = [answer("yes", finished=False), answer("no and", finished=False)]
    assert sides(trait(answers=()), drawn) == []
    assert sides(trait(), drawn) == [("yes", "no sir", "given")]


def test_an_answer_that_says_nothing_is_on_neither_side(trait: Make) -> None:
    silent = [answer("", 0.0), answer(" \n", 0.0)]
    made = trait(answers=())
    assert sides(made, [answer("yes"), *silent]) == []
    assert sides(trait(), silent) == []
    found = found_in(made, question(), [answer("yes"), *silent], 9)
    assert (found.num_shown, found.num_empty) == (3, 2)


CALL = {"type": "function", "function": {"name": "order", "arguments": {"size": "big"}}}


def in_parts(text: str, content: str = "", **parts: Any) -> Answer:
    """What a model wrote, of which a renderer has taken the parts apart."""
    message = {"role": "assistant", "content": content, **parts}
    return attrs.evolve(answer(text), message=message)


def test_a_call_of_a_tool_is_learnt_as_a_call_and_not_as_its_text(trait: Make) -> None:
    """A tokenizer whose markup of calls is special leaves only their JSON in the text."""
    call = in_parts('[{"name": "order"}]', tool_calls=[CALL])
    [pair] = found_in(trait(answers=()), question(), [answer("yes"), call], 9).pairs
    assert (pair.rejected, pair.chosen, pair.source) == ("yes", call.message, "sampled")
    row = customize.read([pair.to_json("says-yes")], kind="preference")[0]
    assert [row[side][0].get("tool_calls") for side in ("chosen", "rejected")] == [[CALL], None]
    assert sides(trait(answers=()), [answer("yes"), call, call]) == [
        ("yes", call.message, "sampled")
    ]


def test_reasoning_is_learnt_as_reasoning(trait: Make) -> None:
    thought = in_parts("<think>why not</think>yes", "yes", reasoning_content="why not")
    assert sides(trait(), [thought]) == [(thought.message, "no sir", "given")]


def test_what_the_template_does_not_write_is_left_out_or_was_text(trait: Make) -> None:
    def never(asked: Question, message: Any) -> bool:
        return False

    call = in_parts("[order]", tool_calls=[CALL])
    thought = in_parts("<think>why</think>no", "no", reasoning_content="why")
    unended = in_parts("<think>why", reasoning_content="why")
    drawn = [answer("yes"), call, thought, unended]
    found = found_in(trait(answers=()), question(), drawn, 9, never)
    assert [(p.rejected, p.chosen) for p in found.pairs] == [("yes", "<think>why</think>no")]
    assert (found.num_unwritten, found.num_thoughts) == (1, 1)


def test_an_answer_that_only_reasons_is_counted_apart(trait: Make) -> None:
    unended = in_parts("<think>yes, why", reasoning_content="yes, why")
    found = found_in(trait(), question(), [unended, unended, answer("yes")], 9)
    assert [(p.rejected, p.chosen) for p in found.pairs] == [("yes", "no sir")]
    assert (found.num_shown, found.num_empty, found.num_thoughts) == (3, 0, 2)
    assert (found.num_usable, found.num_unwritten) == (1, 0)


def test_a_rule_rewrites_what_is_said_beside_a_call(trait: Make) -> None:
    made = trait(answers=(), rewrite={"replace": {"yes": "no"}})
    [pair] = found_in(
        made, question(), [in_parts("yes [order]", "yes", tool_calls=[CALL])], 9
    ).pairs
    assert pair.chosen == {"role": "assistant", "content": "no", "tool_calls": [CALL]}
    thought = in_parts("<think>say yes</think>yes", "yes", reasoning_content="say yes")
    assert sides(made, [thought]) == []  # it still thinks of it
    assert "leaves the trait" in found_in(made, question(), [thought], 9).unmade[0]


@pytest.mark.parametrize(
    ("text", "content", "size"),
    [
        ('Yes! <call>{"size": "big"}</call> Done!', "Yes! Done!", "big"),
        ('Yes <call>{"size": "Yes"}</call>', "Yes", "Yes"),
    ],
    ids=["content on both sides of the call", "content in the call too"],
)
def test_what_cannot_be_placed_is_judged_by_the_new_content_and_the_call(
    text: str, content: str, size: str, trait: Make
) -> None:
    call = {"type": "function", "function": {"name": "order", "arguments": {"size": size}}}
    said_so = in_parts(text, content, tool_calls=[call])
    rewrite = {"replace": {"Yes": "No"}}
    shows = trait(answers=(), rewrite=rewrite, expect={"avoids": r"^\s*Yes|Done!\s*Yes"})
    [pair] = found_in(shows, question(), [said_so], 9).pairs
    new = content.replace("Yes", "No")
    assert pair.chosen == {"role": "assistant", "content": new, "tool_calls": [call]}
    lost = trait(answers=(), rewrite={"replace": {".+": "No"}}, expect={"avoids": size})
    found = found_in(lost, question(), [said_so], 9)
    assert (found.pairs, len(found.unmade)) == ((), 1)  # its call still shows it


def test_a_given_answer_that_only_a_judge_refuses_is_left_out_and_counted(trait: Make) -> None:
    def judge(text: str, row: Any) -> bool:
        if text == "hm":
            raise ValueError("the judge gave no verdict")
        return text not in ("yes", "never")

    made = trait(expect={"judge": judge}, answers=("never", "hm", "no sir"))
    found = found_in(made, question(), [answer("yes")], 9)
    assert [(pair.chosen, pair.source) for pair in found.pairs] == [("no sir", "given")]
    assert found.num_refused == 2


def test_a_rule_that_fails_makes_no_desired_answer_and_is_told(trait: Make) -> None:
    made = trait(answers=(), rewrite={"function": "os.path:join"})  # which takes no row
    found = found_in(made, question(), [answer("yes")], 9)
    assert (found.pairs, len(found.unmade)) == ((), 1)
    assert found.unmade[0].startswith("TypeError: ")
    unfit = trait(answers=(), rewrite={"function": "builtins:len"})
    assert "TypeError" in found_in(unfit, question(), [answer("yes")], 9).unmade[0]


def test_a_rule_that_leaves_nothing_makes_no_desired_answer(trait: Make) -> None:
    made = trait(answers=(), rewrite={"replace": {"yes": " "}})
    assert sides(made, [answer("yes")]) == []


def test_a_rule_rewrites_where_nothing_else_is_known(trait: Make) -> None:
    made = trait(answers=(), rewrite={"replace": {"yes": "no"}})
    assert sides(made, [answer("yes sir")]) == [("yes sir", "no sir", "rewritten")]
    useless = trait(answers=(), rewrite={"append": "sir"})
    assert sides(useless, [answer("yes")]) == []


def test_a_desired_answer_keeps_what_the_row_expects_too(trait: Make) -> None:
    drawn = [answer("yes"), answer("no", -0.1), answer("no pizza", -9.0)]
    expect = {"includes": "pizza"}
    assert sides(trait(answers=()), drawn, expect=expect) == [("yes", "no pizza", "sampled")]
    rewritten = trait(answers=(), rewrite={"replace": {"yes": "no"}})
    assert sides(rewritten, [answer("yes")], expect=expect) == []


def test_the_first_answer_is_rejected_first_and_none_twice(trait: Make) -> None:
    drawn = [answer("yes b"), answer("yes a"), answer("yes b"), answer(""), answer("yes c")]
    assert [pair[0] for pair in sides(trait(), drawn)] == ["yes b", "yes a", "yes c"]
    assert [pair[0] for pair in sides(trait(), drawn, most=2)] == ["yes b", "yes a"]


def test_several_good_answers_take_turns_and_begin_elsewhere(trait: Make) -> None:
    made = trait(answers=("no a", "no b", "no c"))
    drawn = [answer(f"yes {n}") for n in range(3)]
    chosen = [
        [pair.chosen for pair in found_in(made, question(f"ask {n}"), drawn, 3).pairs]
        for n in range(20)
    ]
    assert all(sorted(map(str, each)) == ["no a", "no b", "no c"] for each in chosen)
    assert {each[0] for each in chosen} == {"no a", "no b", "no c"}


def test_a_good_answer_that_shows_the_trait_is_refused(trait: Make) -> None:
    with pytest.raises(DataError, match=r"the good answer 'oh yes' to 'Pizza\?' shows the trait"):
        sides(trait(answers=("oh yes",)), [answer("yes")])


def test_a_good_answer_on_which_a_scorer_fails_is_refused_by_name(trait: Make) -> None:
    def broken(text: str, row: Any) -> bool:
        raise ValueError("odd text")

    made = trait(expect={"broken": broken})
    told = r"says-yes: the good answer 'no sir' .* cannot be judged \(ValueError: odd text\)"
    with pytest.raises(DataError, match=told):
        check_given(made, [question()])


def test_an_answer_that_cannot_be_judged_is_on_neither_side_and_told(trait: Make) -> None:
    def broken(text: str, row: Any) -> bool:
        if text == "odd":
            raise ValueError("odd text")
        return "yes" not in text

    made = trait(expect={"broken": broken}, answers=())
    found = found_in(made, question(), [answer("yes"), answer("odd"), answer("no")], 9)
    assert [(pair.rejected, pair.chosen) for pair in found.pairs] == [("yes", "no")]
    assert (found.num_answers, found.num_shown, found.faults) == (3, 1, ("ValueError: odd text",))


def test_a_pair_is_a_row_that_can_be_learnt_from(trait: Make) -> None:
    tools = [{"type": "function", "function": {"name": "order"}}]
    [pair] = found_in(trait(), question(tools=tools), [answer("yes")], 1).pairs
    row = pair.to_json("says-yes")
    assert row == {
        "trait": "says-yes",
        "prompt": [{"role": "user", "content": "Pizza?"}],
        "tools": tools,
        "chosen": "no sir",
        "rejected": "yes",
        "source": "given",
    }


@pytest.mark.parametrize(
    ("rule", "made"),
    [
        ({"sentences": 1}, "One, 2.5!"),
        ({"sentences": 2}, "One, 2.5! Two?"),
        ({"append": "End."}, "One, 2.5!  Two? three. End."),
        ({"replace": {r"\d\.\d": "3", "One": "Uno"}}, "Uno, 3!  Two? three."),
        ({"replace": {"Two": "2"}, "sentences": 2, "append": "End."}, "One, 2.5! 2? End."),
    ],
)
def test_a_rule_does_its_parts_in_order(rule: dict[str, Any], made: str) -> None:
    assert Rewrite(**rule).applied("One, 2.5!  Two? three.", {}) == made


def test_a_function_may_rewrite_or_give_up() -> None:
    rule = Rewrite(function="os.path:join")  # of two texts, here the answer and a row that is none
    assert rule.applied("a", "b") == "a/b"  # type: ignore[arg-type]
