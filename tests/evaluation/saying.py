"""Columns whose answers are known, and rows for them. Holds no test."""

from __future__ import annotations

from typing import Any

import attrs

from customize import (
    AdamW,
    Answer,
    Batch,
    CrossEntropy,
    Evaluation,
    Likelihood,
    LoRA,
    Session,
    Unsupported,
)
from customize.evaluation import Column, Draw, Terms, evaluate
from customize.evaluation.expectations import said
from customize.evaluation.questions import Question
from customize.testing import ToyBackend

EXAMPLE = ({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"})


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


class Says(Column):
    """A column that gives the row's field of its own name as its answer; of a list, by number."""

    def __init__(self, name: str, family: str | None = None) -> None:
        self.name, self.told, self.family, self.asked = name, f"says {name}", family, 0

    def key(self, question: Question, draw: Draw) -> str | None:
        return f"{self.name} {draw} {question.hash}"

    def answers(self, questions: Any, draw: Draw) -> list[Answer]:
        self.asked += len(questions)
        found = [q.row[self.name] for q in questions]
        texts = [each[draw.number] if isinstance(each, list) else each for each in found]
        return [attrs.evolve(said(text), logprob=-0.1) for text in texts]

    def likelihoods(self, replies: Any) -> list[Likelihood]:
        if self.name == "mute":
            raise Unsupported("no log-probabilities here")
        return [Likelihood(-float(len(text)), 1) for _, text in replies]


def asked(number: int, base: Any = "no", customized: Any = "yes", **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"question {number}"}]
    said_by = {"base": base, "customized": customized}
    return {"id": str(number), "messages": messages, "expect": {"equals": "yes"}, **said_by, **more}


def compared(rows: Any, names: str = "base customized", **more: Any) -> Evaluation:
    beside = {key: more.pop(key) for key in ("training", "notes", "progress") if key in more}
    return evaluate([Says(name) for name in names.split()], rows, Terms(**more), **beside)
