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
_ANSWERS_A_PROMPT = 32  # they are kept in every checkpoint: some megabytes at most


@attrs.frozen(eq=False)
class Replayed:
    """A prompt with the base's own answer, which is what is trained; float32 [T] like weights.

    reference_logprobs: the base's log-probabilities of its answer, 0 on the prompt.
    """

    rendered: Rendered
    reference_logprobs: npt.NDArray[np.float32]


def most_replayed() -> int:
    """Rows that the bundled prompts can give."""
    return _ANSWERS_A_PROMPT * len(prompts_bundled())


def answered_by_the_base(session: Session, num_rows: int, temperature: float) -> list[Replayed]:
    """The bundled prompts with the base's own answers, a function of the session's seed.

    Where more rows are wanted than there are prompts, further answers to them are drawn at
    temperature 1, each with a seed of its own.
    """
    tokens = [
        session.renderer.prompt([{"role": "user", "content": text}])
        for text in prompts_bundled()[:num_rows]
    ]
    prompts = [Prompt(tokens[i % len(tokens)], seed=session.seed + i) for i in range(num_rows)]
    first = _answered(session, prompts[: len(tokens)], temperature)
    return first + _answered(session, prompts[len(tokens) :], 1.0)


def _answered(session: Session, prompts: Sequence[Prompt], temperature: float) -> list[Replayed]:
    sampling = Sampling(max_tokens=_MAX_TOKENS, temperature=temperature)
    said = session.base().sample(prompts, sampling).result() if prompts else []
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
