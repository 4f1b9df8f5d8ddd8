"""The next token's logits for every row of a cache, step by step. Knows no sampling.

Shape legend: R rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from customize_torch.attention import Cache
from customize_torch.policy import Policy

_WORTH_CAPTURING = 16  # steps


def decoding(policy: Policy, cache: Cache, lengths: Sequence[int], max_tokens: int) -> Decoding:
    """The way of decoding that suits where the policy computes."""
    place = policy.base.place  # what gathers a layer is not recorded
    graphed = place.device.type == "cuda" and not place.sharded and max_tokens >= _WORTH_CAPTURING
    return (GraphedDecoding if graphed else Decoding)(policy, cache, lengths)


class Decoding:
    """Rows that grow by one token a step. ``lengths``: what each holds at the start.

    runs_ahead: whether to take the next step before it is known which rows are at their end.
    """

    runs_ahead = False

    def __init__(self, policy: Policy, cache: Cache, lengths: Sequence[int]) -> None:
        self._policy = policy
        self._cache = cache
        self._device = policy.base.place.device
        self._lengths_R = torch.tensor(lengths, device=self._device)
        self._longest = max(lengths)

    def step(self, tokens_R: Tensor) -> Tensor:
        """Append a token to each row; logits of the one after it, float32 [R, V]."""
        self._longest += 1
        logits_RV = self._logits(tokens_R)
        self._lengths_R = self._lengths_R + 1
        return logits_RV

    def worth_dropping(self, num_going: int, num_rows: int) -> bool:
        """Whether to drop the rows that are at their end."""
        return num_going < num_rows

    def keep(self, rows_R: Tensor) -> None:
        """Only these rows go on."""
        self._cache.keep(rows_R)
        self._lengths_R = self._lengths_R[rows_R]

    def read(self, x: Tensor) -> Callable[[], Any]:
        """What gives the numbers of a tensor as lists."""
        return x.tolist

    def _logits(self, tokens_R: Tensor) -> Tensor:
        return self._computed(tokens_R, self._lengths_R, self._longest)

    def _computed(self, tokens_R: Tensor, lengths_R: Tensor, longest: int) -> Tensor:
        attend_new = self._policy.base.place.kernels.attend_new
        plan = self._cache.decode(lengths_R, longest, attend_new)
        hidden_RC = self._policy.hidden(tokens_R, lengths_R, plan)
        return self._policy.logits(hidden_RC)


class GraphedDecoding(Decoding):
    """The step recorded once and replayed: launching its kernels would take longer than they do.

    All of the cache's room is read at each step, and rows at their end stay until half are. The
    device goes on while the processor looks at what was drawn.
    """

    runs_ahead = True
    _graph: torch.cuda.CUDAGraph | None = None

    def worth_dropping(self, num_going: int, num_rows: int) -> bool:
        return 2 * num_going <= num_rows

    def keep(self, rows_R: Tensor) -> None:
        super().keep(rows_R)
        self._graph = None

    def read(self, x: Tensor) -> Callable[[], Any]:
        copied = x.to("cpu", non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()

        def numbers() -> Any:  # nested lists of float
            arrived.synchronize()
            return copied.tolist()

        return numbers

    def _logits(self, tokens_R: Tensor) -> Tensor:
        if self._graph is None:
            self._graph = self._capture(tokens_R)
        self._tokens_in.copy_(tokens_R)
        self._lengths_in.copy_(self._lengths_R)
        self._graph.replay()
        return self._logits_out

    def _capture(self, tokens_R: Tensor) -> torch.cuda.CUDAGraph:
        self._tokens_in, self._lengths_in = tokens_R.clone(), self._lengths_R.clone()
        # What torch sets up at a first run must not be recorded; writing twice changes nothing.
        aside = torch.cuda.Stream(self._device)
        aside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(aside):
            self._once()
        torch.cuda.current_stream(self._device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._logits_out = self._once()
        return graph

    def _once(self) -> Tensor:
        return self._computed(self._tokens_in, self._lengths_in, self._cache.room)
