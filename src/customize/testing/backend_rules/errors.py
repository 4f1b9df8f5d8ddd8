"""Rules about errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from customize._batch import Batch
from customize._errors import CustomizeError
from customize._losses import PPO
from customize.interfaces.sampling import Prompt, Sampling
from customize.testing.backend_rules.subject import BackendSubject
from customize.testing.expecting import expect_raises


def check_errors_are_ours(subject: BackendSubject) -> None:
    """What is asked for wrongly raises an error of customize: a token the model has no row for, a
    prompt without tokens, a loss without its columns.
    """
    session = subject.open()
    batch = subject.batch()
    beyond = np.array([5, subject.vocabulary, 6])
    outside = Batch.from_sequences([(beyond, {"weights": np.ones(3)})])
    asked: dict[str, Callable[[], object]] = {
        "forward of a token that is not in the vocabulary": lambda: session.forward(
            outside
        ).result()
    }
    if "forward_backward" in subject.capabilities:
        asked["PPO without advantages"] = lambda: session.forward_backward(batch, PPO()).result()
    if "sample" in subject.capabilities:
        asked |= _wrong_prompts(subject)
    for what, act in asked.items():
        expect_raises(CustomizeError, act, what)


def _wrong_prompts(subject: BackendSubject) -> Mapping[str, Callable[[], object]]:
    base = subject.engine.base()
    one = Sampling(max_tokens=1)
    empty, outside = Prompt(np.zeros(0)), Prompt(np.array([subject.vocabulary]))
    return {
        "a prompt without tokens": lambda: base.sample([empty], one).result(),
        "a prompt of unknown tokens": lambda: base.sample([outside], one).result(),
    }
