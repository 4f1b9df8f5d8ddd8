"""Samplers of a service as snapshots. Know no training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from customize import (
    Batch,
    Completion,
    DataError,
    Handle,
    OnToken,
    Prompt,
    Renderer,
    Sampling,
    Snapshot,
)
from customize_tinker.client.connection import Connection, Later, Pending
from customize_tinker.client.native import bounds, joined
from customize_tinker.responses import Samples, decode_samples

Floats = npt.NDArray[np.float32]


class TinkerSnapshot(Snapshot):
    """Weights that a service keeps under a sampler's id."""

    def __init__(self, connection: Connection, sampler_id: str, renderer: Renderer) -> None:
        self.renderer = renderer
        self._connection = connection
        self._id = sampler_id
        self._seq = 0

    def forward(self, batch: Batch) -> Handle[Floats]:
        sent = [self._score(batch.tokens[start:end]) for start, end in bounds(batch)]
        return Later(lambda: joined(batch, [_given(one)[1:] for one in sent]))

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Handle[list[list[Completion]]]:
        """What is drawn is told to ``on_token`` when it has arrived, prompt by prompt."""
        for number, prompt in enumerate(prompts):
            if len(prompt.tokens) == 0:
                raise DataError(f"prompt {number} is empty: a completion needs a token before it")
        sent = [self._ask(prompt, _params(sampling, self.renderer), sampling) for prompt in prompts]

        def gather() -> list[list[Completion]]:
            pairs = zip(prompts, sent, strict=True)
            drawn = [self._told(prompt, one.result(), sampling) for prompt, one in pairs]
            _tell(drawn, on_token)
            return drawn

        return Later(gather)

    def _told(self, prompt: Prompt, samples: Samples, sampling: Sampling) -> list[Completion]:
        """A service tells what was drawn from; what the model says is asked where it differs."""
        given = samples.prompt_logprobs
        kept = None if given is None else np.nan_to_num(given, nan=0.0)
        plain = sampling.temperature == 1 and sampling.top_k == 0 and sampling.top_p == 1
        scored = [
            None if plain else self._score(np.concatenate([prompt.tokens, one.tokens]))
            for one in samples.completions
        ]
        return [
            Completion(
                one.tokens,
                one.logprobs if own is None else _given(own)[len(prompt.tokens) :],
                one.sampling_logprobs,
                one.stop_reason,
                kept,
            )
            for one, own in zip(samples.completions, scored, strict=True)
        ]

    def _score(self, tokens: npt.NDArray[np.int32]) -> Pending[Samples]:
        return self._ask(Prompt(tokens), {"max_tokens": 1}, Sampling(prompt_logprobs=True))

    def _ask(self, prompt: Prompt, params: dict[str, Any], sampling: Sampling) -> Pending[Samples]:
        chunk = {"type": "encoded_text", "tokens": prompt.tokens.tolist()}
        asked = {
            "sampling_session_id": self._id,
            "num_samples": prompt.n,
            "prompt": {"chunks": [chunk]},
            "sampling_params": {**params, "seed": prompt.seed},
            "prompt_logprobs": sampling.prompt_logprobs,
        }

        def send() -> str:
            numbered = {**asked, "seq_id": self._seq}
            self._seq += 1
            return str(self._connection.told("asample", numbered)["request_id"])

        return Pending(self._connection, send(), decode_samples, again=send)


def _given(sent: Pending[Samples]) -> Floats:
    logprobs = sent.result().prompt_logprobs
    if logprobs is None:
        raise DataError("the service told no log-probabilities of the prompt")
    return logprobs


def _params(sampling: Sampling, renderer: Renderer) -> dict[str, Any]:
    """``stop`` names everything that ends a completion; left out, the model's own tokens do."""
    params: dict[str, Any] = {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k or -1,
        "top_p": sampling.top_p,
    }
    if sampling.stop is None and sampling.stop_tokens is None:
        return params
    own = renderer.stop_tokens if sampling.stop_tokens is None else sampling.stop_tokens
    return {**params, "stop": [*(sampling.stop or ()), *own]}


def _tell(drawn: Sequence[Sequence[Completion]], on_token: OnToken | None) -> None:
    if on_token is None:
        return
    for i, completions in enumerate(drawn):
        for j, completion in enumerate(completions):
            for token in completion.tokens.tolist():
                on_token(i, j, token)
