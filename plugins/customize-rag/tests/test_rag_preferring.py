"""Mistakes as pairs, and the training on them after SFT."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rag_corpus import DOCUMENTS, PAIRS

import customize
from customize import Batch, Completion, DataError, Done, Grounding, LoRA, Prompt, Sampling, Session
from customize.testing import ToyBackend, ToyRenderer
from customize.training.state import read_step, write_step
from customize_dpo.method import DPO
from customize_rag.method import RAG
from customize_rag.preferring import held_back, mistakes
from customize_sft.method import SFT

SMALL: dict[str, Any] = {"replay": 0.0, "per_context": 1, "preference": "dta"}
FORM = Grounding()


class Saying(customize.Snapshot):
    """Says what a function of the question says."""

    def __init__(self, says: Callable[[str], str]) -> None:
        self.renderer = ToyRenderer()
        self._says = says

    def forward(self, batch: Batch) -> Any:
        raise NotImplementedError

    def sample(self, prompts: Sequence[Prompt], sampling: Sampling, on_token: Any = None) -> Any:
        return Done([[self._said(prompt)] for prompt in prompts])

    def _said(self, prompt: Prompt) -> Completion:
        asked = self.renderer.decode(prompt.tokens).rpartition("Question: ")[2].strip()
        tokens = np.array([*self._says(asked).encode(), self.renderer.stop_tokens[0]], np.int32)
        none = np.zeros(len(tokens), np.float32)
        return Completion(tokens, none, none, "stop")


def row(question: str, answer: str, together: int | None = None) -> dict[str, Any]:
    shown = [customize.Chunk("a", "We open at 7 am.", (0, 16))]
    said = {"role": "assistant", "content": answer}
    return {
        "messages": [*FORM.messages(question, shown), said],
        "kind": "answerable",
        "together": together,
    }


RIGHT = FORM.answer("7 am", [("We open at 7 am", 1)])


@pytest.mark.parametrize(
    ("right", "said", "is_wrong"),
    [
        (RIGHT, RIGHT, False),
        (RIGHT, FORM.answer("At 7 am", [("open at 7 am", 1)]), False),
        (RIGHT, FORM.abstention, True),
        (RIGHT, FORM.answer("8 am", [("We open at 7 am", 1)]), True),
        (RIGHT, FORM.answer("7 am", [("We open at 7 am", 2)]), True),
        (RIGHT, "7 am", True),
        (FORM.abstention, FORM.abstention, False),
        (FORM.abstention, RIGHT, True),
    ],
)
def test_wrong_answers_and_wrong_abstentions_become_pairs(
    right: str, said: str, is_wrong: bool
) -> None:
    found = list(mistakes(Saying(lambda asked: said), [row("When?", right)], FORM))
    assert [pair["rejected"][0]["content"] for pair in found] == [said] * is_wrong
    assert [pair["chosen"][0]["content"] for pair in found] == [right] * is_wrong
    for pair in found:
        assert pair["messages"] == row("When?", right)["messages"][:-1]


def test_no_set_of_passages_is_learnt_from_and_asked_about() -> None:
    rows = [row(f"{n}?", RIGHT, n // 3) for n in range(12)] + [row("?", RIGHT)]
    for share in (0.1, 0.3, 0.5, 0.9):
        learnt, asked = held_back(rows, share)
        assert [*learnt, *asked] == rows
        assert asked
        assert not {one["together"] for one in learnt} & {one["together"] for one in asked}


@pytest.fixture
def questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CUSTOMIZE_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS), "utf-8")
    return str(file)


def open_session() -> Session:
    return ToyBackend().load(None).open(LoRA(), 0)


def documents() -> customize.Dataset:
    return customize.read(DOCUMENTS, kind="documents")


def test_after_sft_comes_dpo_on_the_mistakes(questions: str) -> None:
    method = RAG(questions=questions, **SMALL, preference_steps=3)
    ours, theirs = open_session(), open_session()
    steps = list(method.train(ours, documents()))
    rows, pairs = steps[0].records["rows"], steps[-3].records["pairs"]
    learnt, asked = held_back(rows, 0.2)
    sft = list(
        SFT(lr=5e-4, epochs=1.0, together=True).train(theirs, customize.read(learnt, kind="chat"))
    )
    assert pairs == list(mistakes(theirs, asked, FORM))
    assert 0 < len(pairs) <= len(asked)
    dpo = DPO(steps=3, sft=0.2)
    preferred = list(dpo.train(theirs, customize.read(pairs, kind="preference")))
    assert [step.metrics for step in steps] == [step.metrics for step in [*sft, *preferred]]
    assert [step.number for step in steps] == list(range(1, method.num_steps(documents()) + 1))


def test_it_goes_on_from_every_step(questions: str, tmp_path: Path) -> None:
    method = RAG(questions=questions, **SMALL, preference_steps=3, batch_size=4)
    whole = [step.metrics for step in method.train(open_session(), documents())]
    for number in range(1, len(whole)):
        session, folder = open_session(), tmp_path / str(number)
        folder.mkdir()
        for step in method.train(session, documents()):
            if step.number == number:
                session.save(folder)
                write_step(folder, step)
                break
        again = open_session()
        again.load(folder)
        rest = list(method.train(again, documents(), read_step(folder)))
        assert [step.metrics for step in rest] == whole[number:]


def test_without_a_mistake_it_ends_and_says_so(
    questions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("customize_rag.preferring.mistakes", lambda *arguments: iter(()))
    method = RAG(questions=questions, **SMALL, preference_steps=3)
    with pytest.warns(UserWarning, match="nothing to prefer"):
        steps = list(method.train(open_session(), documents()))
    assert len(steps) == method.num_steps(documents()) - 3


def test_a_share_that_leaves_nothing_is_refused(questions: str) -> None:
    method = RAG(questions=questions, **{**SMALL, "max_rows": 1})
    with pytest.raises(DataError, match="lower preference_share"):
        method.num_steps(documents())
