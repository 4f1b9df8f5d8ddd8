"""Replay: general prompts with the base's own answers, and how they are kept.

Knows nothing of training.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np

from customize import Prompt, Rendered, Sampling, Session

_MAX_TOKENS = 96


def answered_by_the_base(session: Session, num_prompts: int) -> list[Rendered]:
    """The first bundled prompts, each with the base's own greedy answer as what is learnt."""
    prompts = [
        Prompt(session.renderer.prompt([{"role": "user", "content": text}]))
        for text in prompts_bundled()[:num_prompts]
    ]
    sampling = Sampling(max_tokens=_MAX_TOKENS, temperature=0.0)
    said = session.base().sample(prompts, sampling).result()
    return [
        Rendered(
            np.concatenate([prompt.tokens, completion.tokens]),
            np.repeat(np.asarray([0, 1], np.float32), [len(prompt.tokens), len(completion.tokens)]),
        )
        for prompt, (completion,) in zip(prompts, said, strict=True)
    ]


def prompts_bundled() -> list[str]:
    """The user's words of the bundled general prompts."""
    text = resources.files("customize_sft").joinpath("replay_prompts.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    return [row["messages"][-1]["content"] for row in rows]


def pack(replay: Sequence[Rendered]) -> Mapping[str, Any]:
    """As the arrays of a step's state."""
    if not replay:
        return {}
    return {
        "replay_tokens": np.concatenate([r.tokens for r in replay]),
        "replay_weights": np.concatenate([r.weights for r in replay]),
        "replay_lengths": np.asarray([len(r.tokens) for r in replay], np.int64),
    }


def unpack(state: Mapping[str, Any]) -> list[Rendered]:
    """The inverse of ``pack``."""
    cuts = np.cumsum(state["replay_lengths"])[:-1]
    tokens = np.split(state["replay_tokens"], cuts)
    weights = np.split(state["replay_weights"], cuts)
    return [Rendered(t, w) for t, w in zip(tokens, weights, strict=True)]
