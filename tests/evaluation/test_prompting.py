"""The base's best prompt: how it is chosen, and on which rows."""

from __future__ import annotations

import pytest
from saying import asked, row, taught

from customize import (
    DataError,
    OptionError,
)
from customize.evaluation import Prompting, SnapshotColumn
from customize.evaluation.choosing import best_prompting, check_apart

EXAMPLE = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"})


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
