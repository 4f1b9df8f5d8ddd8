"""A loaded package with the face of a session's snapshot, so that what uses one can use it.

Shape legend: N tokens of a batch, T of a sequence, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np

from customize._batch import Batch, Floats, Ints
from customize.interfaces.handle import Done, Handle
from customize.interfaces.runtime import Query, Runtime, Said
from customize.interfaces.sampling import Completion, OnToken, Prompt, Sampling
from customize.interfaces.session import Snapshot
from customize.packaging.answering import has_stopped


class RuntimeSnapshot(Snapshot):
    """One adapter of a runtime, or None its own weights. ``sampling_logprobs`` of a completion are
    its ``logprobs``: a runtime tells no others.
    """

    def __init__(self, runtime: Runtime, adapter: str | None) -> None:
        self.renderer = runtime.renderer
        self._runtime = runtime
        self._adapter = adapter

    def context(self) -> int | None:
        return self._runtime.context

    def forward(self, batch: Batch) -> Handle[Floats]:
        out = np.zeros(batch.num_tokens, np.float32)
        for number in range(batch.num_sequences):
            start, end = batch.offsets[number : number + 2].tolist()
            scored = np.flatnonzero(batch.scored[start:end])
            if not len(scored):
                continue
            first = int(scored[0])
            full_TV = self.distributions(batch.tokens[start:end], first)
            out[start + scored] = full_TV[scored - first, batch.tokens[start + scored]]
        return Done(out)

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Handle[list[list[Completion]]]:
        asked = [(i, j) for i, prompt in enumerate(prompts) for j in range(prompt.n)]
        with ThreadPoolExecutor(self._runtime.slots) as pool:
            under_way = [
                pool.submit(self._complete, prompts[i], sampling, i, j, on_token) for i, j in asked
            ]
            rest = iter([one.result() for one in under_way])
        return Done([[next(rest) for _ in range(prompt.n)] for prompt in prompts])

    def distributions(self, tokens: Ints, start: int) -> Floats:
        return self._runtime.logprobs(np.asarray(tokens, np.int32), start, self._adapter)

    def _complete(
        self, prompt: Prompt, sampling: Sampling, i: int, j: int, on_token: OnToken | None
    ) -> Completion:
        query = Query(prompt.tokens, sampling, prompt.seed, j, self._adapter)
        said: list[Said] = []
        for one in self._runtime.stream(query):
            said.append(one)
            if on_token is not None:
                on_token(i, j, one.token)
        logprobs = np.asarray([one.logprob for one in said], np.float32)
        tokens = np.asarray([one.token for one in said], np.int32)
        given = self._prompt_logprobs(prompt) if sampling.prompt_logprobs else None
        stopped = has_stopped(tokens.tolist(), sampling, self.renderer)
        reason: Literal["stop", "length"] = "stop" if stopped else "length"
        return Completion(tokens, logprobs, logprobs, reason, given)

    def _prompt_logprobs(self, prompt: Prompt) -> Floats:
        weights = np.ones(len(prompt.tokens), np.float32)
        return self.forward(Batch.from_sequences([(prompt.tokens, {"weights": weights})])).result()
