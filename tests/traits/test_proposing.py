"""Pairs from a run: drawn once, written once, and then the reader's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

import customize
from customize import DataError, OptionError, RenderingError, Run, RunError
from customize.evaluation.columns import SnapshotColumn
from customize.evaluation.expectations import said
from customize.testing.renderer import ToyRenderer

if TYPE_CHECKING:
    from tests.traits.conftest import Make

QUICK: dict[str, Any] = {"num_samples": 4, "max_tokens": 16}


def propose(run: Run, trait: Any, to: Path, **drawing: Any) -> customize.Proposal:
    return customize.propose_pairs(run, trait, to=to, **{**QUICK, **drawing})


def never(*arguments: Any, **named: Any) -> Any:
    raise AssertionError("the model was asked again")


def test_undesired_answers_are_beside_desired_ones(run: Run, trait: Make, tmp_path: Path) -> None:
    proposal = propose(run, trait(), tmp_path / "c")
    rows = [json.loads(line) for line in proposal.pairs.read_text().splitlines()]
    assert proposal.num_pairs == len(rows) >= 20
    assert all("yes" in row["rejected"] and "yes" not in row["chosen"] for row in rows)
    assert {row["prompt"][0]["content"] for row in rows} == {f"learn {n}" for n in range(20)}
    assert rows[0]["rejected"] == "yes"  # what is said without drawing
    assert "of 100 answers to 20 prompts show says-yes" in proposal.told[0]
    assert f"{len(rows)} pairs; their desired answers: " in proposal.told[1]
    data = customize.read(proposal.pairs, kind="preference")
    assert len(data) == len(rows)
    assert proposal.first(1) == [{"asked": "learn 0", "rejected": "yes", "chosen": "no sir"}]


def test_what_was_edited_stays_and_nobody_is_asked_again(
    run: Run, trait: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposal = propose(run, trait(), tmp_path / "c")
    lines = proposal.pairs.read_text().splitlines()
    edited = "\n".join([lines[3].replace("no sir", "never"), *lines[10:], ""])
    proposal.pairs.write_text(edited)
    monkeypatch.setattr(SnapshotColumn, "drawn", never)
    again = propose(run, trait(), tmp_path / "c")
    assert proposal.pairs.read_text() == edited
    assert (again.num_pairs, again.told) == (len(lines) - 9, ())


def test_without_its_pairs_a_folder_makes_the_same_from_the_answers_it_keeps(
    run: Run, trait: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = propose(run, trait(), tmp_path / "c").pairs.read_bytes()
    (tmp_path / "c" / "pairs.jsonl").unlink()
    monkeypatch.setattr(SnapshotColumn, "drawn", never)
    assert propose(run, trait(), tmp_path / "c").pairs.read_bytes() == before


def test_killed_while_drawing_it_goes_on_and_asks_nothing_twice(
    run: Run, trait: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trait(prompts=tuple(f"learn {n}" for n in range(70)))  # three batches of each kind
    whole = propose(run, made, tmp_path / "whole").pairs.read_bytes()
    drawn = SnapshotColumn.drawn
    asked: list[int] = []

    def counting(most: int) -> Any:
        def counted(self: SnapshotColumn, questions: Any, draw: Any, on_token: Any = None) -> Any:
            if len(asked) == most:
                raise KeyboardInterrupt
            asked.append(len(questions))
            return drawn(self, questions, draw, on_token)

        return counted

    monkeypatch.setattr(SnapshotColumn, "drawn", counting(4))
    with pytest.raises(KeyboardInterrupt):
        propose(run, made, tmp_path / "c")
    assert not (tmp_path / "c" / "pairs.jsonl").exists()
    monkeypatch.setattr(SnapshotColumn, "drawn", counting(1000))
    assert propose(run, made, tmp_path / "c").pairs.read_bytes() == whole
    assert sum(asked) == (1 + QUICK["num_samples"]) * 70


def test_a_folder_goes_on_with_the_same_alone(run: Run, trait: Make, tmp_path: Path) -> None:
    propose(run, trait(), tmp_path / "c")
    propose(run, trait(sentence="In other words.", goal=0.5), tmp_path / "c")
    with pytest.raises(RunError, match=r"drawing\.seed: 0 there, 1 now"):
        propose(run, trait(), tmp_path / "c", seed=1)
    with pytest.raises(RunError, match=r"trait\.answers: "):
        propose(run, trait(answers=("never",)), tmp_path / "c")
    base = Run(None, None, run.backend)
    with pytest.raises(RunError, match="model: "):
        propose(base, trait(), tmp_path / "c")


def test_pairs_alone_are_learnt_from_whatever_they_were_made_from(
    run: Run, trait: Make, tmp_path: Path
) -> None:
    before = propose(run, trait(), tmp_path / "c")
    with pytest.raises(RunError, match=r"copy .*pairs\.jsonl into an empty folder"):
        propose(run, trait(answers=("never",)), tmp_path / "c")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "pairs.jsonl").write_bytes(before.pairs.read_bytes())
    again = propose(run, trait(answers=("never",)), tmp_path / "d", seed=1)
    assert (again.num_pairs, again.told) == (before.num_pairs, ())
    assert again.pairs.read_bytes() == before.pairs.read_bytes()
    with pytest.raises(RunError, match=r"drawing\.seed: 1 there, 0 now"):
        propose(run, trait(answers=("never",)), tmp_path / "d")


def test_emptied_pairs_are_told_as_none(run: Run, trait: Make, tmp_path: Path) -> None:
    made = propose(run, trait(), tmp_path / "c")
    made.pairs.write_text("\n")
    with pytest.raises(DataError, match=r"pairs\.jsonl holds no pairs: put some back"):
        propose(run, trait(), tmp_path / "c")


def test_a_given_answer_that_shows_the_trait_is_told_before_the_model_is_asked(
    run: Run, trait: Make, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"the good answer 'oh yes' to 'learn .*' shows the trait"):
        propose(run, trait(answers=("no", "oh yes")), tmp_path / "c")
    own = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "yes"}]}
    with pytest.raises(DataError, match="the good answer 'yes' to 'a' shows the trait"):
        propose(run, trait(prompts=(own,)), tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_model_without_the_trait_has_nothing_to_correct(
    run: Run, trait: Make, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="the model does not show it, in none of 100 answers"):
        propose(run, trait(expect={"excludes": "pizza"}), tmp_path / "c")


def test_as_long_as_there_are_no_pairs_the_trait_may_be_changed(
    run: Run, trait: Make, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="the model does not show it"):
        propose(run, trait(expect={"excludes": "pizza"}), tmp_path / "c")
    assert propose(run, trait(), tmp_path / "c").num_pairs
    with pytest.raises(RunError, match=r"trait\.expect\."):
        propose(run, trait(expect={"excludes": "pizza"}), tmp_path / "c")


def test_a_model_that_says_nothing_is_told_so(
    run: Run, trait: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(self: SnapshotColumn, questions: list[Any], draw: Any) -> list[Any]:
        return [said("")] * len(questions)

    monkeypatch.setattr(SnapshotColumn, "answers", silent)
    with pytest.raises(DataError, match="all 100 answers that show it are empty"):
        propose(run, trait(), tmp_path / "c")


def test_answers_that_were_cut_off_are_counted_and_warned_of(
    run: Run, trait: Make, tmp_path: Path
) -> None:
    made = trait(expect={"includes": "no"}, answers=("no",))
    with pytest.warns(UserWarning, match="100 of the 100 answers .* cut off .* raise max_tokens"):
        proposal = propose(run, made, tmp_path / "c", max_tokens=1)
    assert "100 of those that show it were cut off at 1 tokens" in " ".join(proposal.told)


def test_answers_that_ended_are_not_told_of_as_cut(
    run: Run, trait: Make, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    proposal = propose(run, trait(), tmp_path / "c", num_samples=0)
    assert "cut off" not in " ".join(proposal.told)
    assert not [one for one in recwarn if "cut off" in str(one.message)]


def test_without_a_desired_answer_the_ways_to_one_are_told(
    run: Run, trait: Make, tmp_path: Path
) -> None:
    made = trait(expect={"includes": "pizza"}, answers=())
    with pytest.raises(DataError, match="100 of 100 answers show it, and no desired answer"):
        propose(run, made, tmp_path / "c")


def test_a_scorer_that_always_fails_is_told(run: Run, trait: Make, tmp_path: Path) -> None:
    def broken(text: str, row: Any) -> bool:
        raise ValueError("no idea")

    made = trait(expect={"broken": broken}, answers=())
    with pytest.raises(DataError, match=r"100 answers could not be judged \(ValueError: no idea\)"):
        propose(run, made, tmp_path / "c")


def test_a_folder_of_something_else_is_refused(run: Run, trait: Make, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "notes.txt").touch()
    with pytest.raises(RunError, match=r"holds other files \(notes.txt"):
        propose(run, trait(), tmp_path / "c")
    with pytest.raises(OptionError, match="is a run's folder"):
        propose(run, trait(), tmp_path / "run")
    with pytest.raises(RunError, match="cannot be made"):
        propose(run, trait(), tmp_path / "c" / "notes.txt" / "d")


def test_a_misspelt_setting_is_refused(run: Run, trait: Make, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="did you mean 'num_samples'"):
        propose(run, trait(), tmp_path / "c", samples=3)


def test_calls_of_tools_are_pairs_of_messages(
    run: Run, trait: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrote = '<tool_call>{"name": "order", "arguments": {}}</tool_call>'
    called = {"type": "function", "function": {"name": "order", "arguments": {}}}

    def calling(self: SnapshotColumn, questions: list[Any], draw: Any) -> list[Any]:
        call = {"role": "assistant", "content": "", "tool_calls": [called]}
        drawn = attrs.evolve(said(wrote), message=call, logprob=-1.0)
        return [drawn if draw.temperature else said("yes")] * len(questions)

    monkeypatch.setattr(SnapshotColumn, "answers", calling)
    proposal = propose(run, trait(answers=()), tmp_path / "c")
    assert proposal.num_pairs == 20
    row = customize.read(proposal.pairs, kind="preference")[0]
    assert row["chosen"][0]["tool_calls"] == [called]
    assert '"name": "order"' in proposal.first(1)[0]["chosen"]

    def unwritten(self: Any, messages: Any, *beside: Any) -> Any:
        raise RenderingError("no calls in this template")

    monkeypatch.setattr(ToyRenderer, "render", unwritten)
    told = "80 answers hold calls of tools or reasoning that the chat template does not write"
    with pytest.raises(DataError, match=told):
        propose(run, trait(answers=()), tmp_path / "d")


def test_answers_cut_in_their_reasoning_are_told_as_such(
    run: Run, trait: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def thinking(self: SnapshotColumn, questions: list[Any], draw: Any) -> list[Any]:
        thought = {"role": "assistant", "content": "", "reasoning_content": "yes, as"}
        cut = attrs.evolve(said("<think>yes, as"), message=thought, finished=False, logprob=-1.0)
        return [cut] * len(questions)

    monkeypatch.setattr(SnapshotColumn, "answers", thinking)
    with pytest.raises(DataError) as told:
        propose(run, trait(), tmp_path / "c")
    assert "100 of 100 answers show it, and none of them can be put into a pair" in str(told.value)
    assert "100 answers only reason, and make no pair: raise max_tokens (16 now)" in str(told.value)
    assert "no desired answer" not in str(told.value)
    assert "does not write" not in str(told.value)


def test_a_known_answer_is_not_told_as_missing_where_no_call_can_be_written(
    run: Run, trait: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def calling(self: SnapshotColumn, questions: list[Any], draw: Any) -> list[Any]:
        called = {"type": "function", "function": {"name": "yes", "arguments": {}}}
        message = {"role": "assistant", "content": "", "tool_calls": [called]}
        return [attrs.evolve(said("[yes]"), message=message)] * len(questions)

    def unwritten(self: Any, messages: Any, *beside: Any) -> Any:
        raise RenderingError("no calls in this template")

    monkeypatch.setattr(SnapshotColumn, "answers", calling)
    monkeypatch.setattr(ToyRenderer, "render", unwritten)
    with pytest.raises(DataError, match=r"none of them can be put into a pair:\n100 answers hold"):
        propose(run, trait(), tmp_path / "c")
