"""Checks, and the comparison of columns on the toy backend."""

from __future__ import annotations

import io
from typing import Any

import pytest

from customize import AdamW, Batch, CrossEntropy, DataError, LoRA, Session
from customize.evaluation import best_instruction, evaluate
from customize.evaluation.answering import answers
from customize.evaluation.checks import check, parse_expect
from customize.testing import ToyBackend


@pytest.mark.parametrize(
    ("expect", "right", "wrong"),
    [
        ({"includes": "Call us"}, "Please  call\nus!", "Write to us"),
        ({"includes": ["a", "b"]}, "b and a", "only a"),
        ({"excludes": "refund"}, "Sorry!", "A REFUND is due"),
        ({"matches": r"\d+ am"}, "at 9 am", "at nine"),
        ({"max_words": 3}, "one two three", "one two three four"),
        ({"equals": ["Yes.", "No."]}, " yes. ", "Yes, sir."),
        ({"includes": "it\u2019s"}, "it's open", "its open"),
    ],
)
def test_a_check_accepts_what_is_right_and_nothing_else(
    expect: dict[str, Any], right: str, wrong: str
) -> None:
    parsed = parse_expect(expect, "row 1")
    assert check(parsed, right)
    assert not check(parsed, wrong)


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        ({"include": "x"}, "did you mean 'includes'"),
        ({"matches": "("}, "is wrong"),
        ({"max_words": 0}, "from 1"),
        ({}, "has no expect"),
        ({"includes": ""}, "must be a text"),
    ],
)
def test_an_expectation_that_says_nothing_is_refused_with_its_row(
    expect: dict[str, Any], told: str
) -> None:
    with pytest.raises(DataError, match=f"row 4.*{told}"):
        parse_expect(expect, "row 4")


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


def test_columns_answer_the_same_rows_and_are_paired() -> None:
    session = taught("yes")
    rows = [row("one", includes="yes")] * 3 + [row("two", excludes="yes")] * 2
    got = evaluate(
        {"base": (session.base(), None), "customized": (session, None)}, rows, max_tokens=6
    )
    assert got.rate("customized", "one").estimate == 1
    assert got.rate("base", "one").estimate == 0
    assert got.rate("customized", "two").estimate == 0
    assert got.change("customized", "base", "one").estimate == 1
    assert got.to_json()["rates"]["customized"]["all"]["estimate"] == pytest.approx(0.6)


def test_the_table_fits_80_columns_and_says_that_a_prompt_is_missing() -> None:
    from rich.console import Console

    session = taught("yes")
    got = evaluate(
        {"base": (session.base(), None), "customized": (session, None)},
        [row("short and polite", includes="yes")],
        max_tokens=4,
    )
    stream = io.StringIO()
    Console(file=stream, width=80).print(got.table())
    assert "No prompt was given" in " ".join(stream.getvalue().split())
    assert "+100 [" in stream.getvalue()


def test_a_base_alone_is_compared_with_nothing_and_answers_the_general_items_too() -> None:
    from rich.console import Console

    base = taught("yes").base()
    got = evaluate({"base": (base, None)}, [row("one", includes="yes")], 4, general=True)
    stream = io.StringIO()
    Console(file=stream, width=80).print(got.table())
    shown = stream.getvalue()
    assert len(got.general) == 150
    assert "general ability" in shown
    assert "change" not in shown
    assert "customized" not in shown


def test_the_best_instruction_is_chosen_on_the_rows_given() -> None:
    session = taught("yes")
    rows = [row("one", includes="yes")]
    assert best_instruction(session, ["first", "second"], rows) == "first"


def test_an_instruction_joins_the_system_message() -> None:
    seen: list[str] = []

    class Spy:
        def __init__(self, session: Session) -> None:
            self.renderer = self
            self._inner = session

        def prompt(self, messages: Any, tools: Any = None) -> Any:
            seen.extend(m["content"] for m in messages)
            return self._inner.renderer.prompt(messages)

        def decode(self, tokens: Any) -> str:
            return self._inner.renderer.decode(tokens)

        def sample(self, *arguments: Any) -> Any:
            return self._inner.sample(*arguments)

    messages = [{"role": "system", "content": "Shop."}, {"role": "user", "content": "q"}]
    answers(Spy(taught("yes")), [messages], "Be brief.", 2)  # type: ignore[arg-type]
    assert seen == ["Shop.\n\nBe brief.", "q"]


def test_no_rows_are_refused() -> None:
    with pytest.raises(DataError, match="no rows"):
        evaluate({}, [])
