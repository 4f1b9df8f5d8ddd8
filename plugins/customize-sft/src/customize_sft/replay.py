"""Replay: general prompts with the base's own answers, and how they are kept.

Knows nothing of training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from customize import Completion, Prompt, Rendered, Sampling, Session

_MAX_TOKENS = 96


@attrs.frozen(eq=False)
class Replayed:
    """A prompt with the base's own answer, which is what is trained; float32 [T] like weights.

    reference_logprobs: the base's log-probabilities of its answer, 0 on the prompt.
    """

    rendered: Rendered
    reference_logprobs: npt.NDArray[np.float32]


def answered_by_the_base(session: Session, num_prompts: int, temperature: float) -> list[Replayed]:
    """The first bundled prompts with the base's own answers, a function of the session's seed."""
    prompts = [
        Prompt(session.renderer.prompt([{"role": "user", "content": text}]), seed=session.seed + i)
        for i, text in enumerate(prompts_bundled()[:num_prompts])
    ]
    sampling = Sampling(max_tokens=_MAX_TOKENS, temperature=temperature)
    said = session.base().sample(prompts, sampling).result()
    return [
        _joined(prompt, completion) for prompt, (completion,) in zip(prompts, said, strict=True)
    ]


def _joined(prompt: Prompt, completion: Completion) -> Replayed:
    before = np.zeros(len(prompt.tokens), np.float32)
    tokens = np.concatenate([prompt.tokens, completion.tokens])
    weights = np.concatenate([before, np.ones(len(completion.tokens), np.float32)])
    return Replayed(Rendered(tokens, weights), np.concatenate([before, completion.logprobs]))


def prompts_bundled() -> list[str]:
    """The user's words of the bundled general prompts."""
    text = resources.files("customize_sft").joinpath("replay_prompts.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    return [row["messages"][-1]["content"] for row in rows]


def pack(replay: Sequence[Replayed]) -> Mapping[str, Any]:
    """As the arrays of a step's state."""
    if not replay:
        return {}
    return {
        "replay_tokens": np.concatenate([r.rendered.tokens for r in replay]),
        "replay_weights": np.concatenate([r.rendered.weights for r in replay]),
        "replay_logprobs": np.concatenate([r.reference_logprobs for r in replay]),
        "replay_lengths": np.asarray([len(r.rendered.tokens) for r in replay], np.int64),
    }


def unpack(state: Mapping[str, Any]) -> list[Replayed]:
    """The inverse of ``pack``."""
    cuts = np.cumsum(state["replay_lengths"])[:-1]
    names = ("replay_tokens", "replay_weights", "replay_logprobs")
    columns = (np.split(state[name], cuts) for name in names)
    return [Replayed(Rendered(t, w), r) for t, w, r in zip(*columns, strict=True)]
