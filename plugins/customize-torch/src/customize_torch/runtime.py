"""Answering on this engine: one thread computes, and batches what others ask meanwhile.

An answer joins those under way at the next token and leaves them at its end, so none waits for
another's. Prompts are read whole, and meanwhile nobody's next token is computed.

Shape legend: R answers under way, T tokens, V vocabulary.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from customize import (
    Batching,
    Prompt,
    Query,
    Renderer,
    Runtime,
    Said,
    Underway,
    resolve,
    told_to,
)
from customize_torch.decoding import Decoding
from customize_torch.policy import Policy
from customize_torch.sampling import prefill

_SLOTS = 8
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


class TorchRuntime(Runtime):
    """A base and customizations of it, by name; None is the base's own weights."""

    slots = _SLOTS
    fits_schemas = True

    def __init__(
        self, policies: Mapping[str | None, Policy], renderer: Renderer, context: int
    ) -> None:
        self.renderer = renderer
        self.adapters = tuple(name for name in policies if name is not None)
        self.context = context
        self._policies = {name: policy.ready() for name, policy in policies.items()}
        self._batches = {name: _Batch(policy) for name, policy in self._policies.items()}
        self._computing = threading.Lock()  # one forward at a time: adapters are switched in place
        self._batching = Batching(self, self._advance)

    @classmethod
    def open(
        cls,
        folder: Path,
        adapters: Mapping[str, Path] = {},
        base: Path | None = None,
    ) -> Runtime:
        """A model's folder, or an adapter in PEFT's format on ``base``, in float32."""
        from customize_torch.backend import CPU

        own = {} if base is None else {folder.name: folder}
        return CPU(dtype="float32").load(resolve(base or folder)).runtime({**own, **adapters})

    def check(self, query: Query) -> None:
        super().check(query)
        self._policies[query.adapter].check(query.tokens)

    def stream(self, query: Query, cancelled: threading.Event | None = None) -> Iterator[Said]:
        yield from self._batching.submit(query, cancelled).said()

    @torch.inference_mode()
    def logprobs(self, tokens: Ints, start: int, adapter: str | None = None) -> Floats:
        self.check_adapter(adapter)
        with self._computing:
            found: Floats = self._policies[adapter].distributions(tokens, start).cpu().numpy()
        return found

    def close(self) -> None:
        self._batching.close()

    @torch.inference_mode()
    def _advance(self, adapter: str | None, answers: Sequence[Underway]) -> None:
        with self._computing:
            self._batches[adapter].advance(answers)


class _Batch:
    """Answers under way with the same weights."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._answers: list[Underway] = []
        self._rows: _Rows | None = None

    def advance(self, answers: Sequence[Underway]) -> None:
        """Draw the next token of those that were here, and the first of those that join."""
        self._keep(set(answers))
        joining = [one for one in answers if one not in self._answers]
        try:
            self._step()
        except Exception:
            self._keep(set())  # what was half computed is no place to go on from
            raise
        if joining:
            with told_to(joining):
                self._read(joining)

    def _keep(self, going: set[Underway]) -> None:
        kept = [row for row, one in enumerate(self._answers) if one in going]
        if len(kept) < len(self._answers) and self._rows is not None:
            device = self._policy.base.place.device
            self._rows.keep(torch.tensor(kept, dtype=torch.long, device=device))
        self._answers = [self._answers[row] for row in kept]
        if not kept:
            self._rows = None

    def _step(self) -> None:
        if self._rows is not None:
            last = [one.tokens[-1] for one in self._answers]
            device = self._policy.base.place.device
            _draw(self._answers, self._rows.step(torch.tensor(last, device=device)))

    def _read(self, joining: Sequence[Underway]) -> None:
        prompts = [Prompt(one.query.tokens) for one in joining]
        room = max(one.query.sampling.max_tokens for one in joining)
        cache, lengths, logits_RV = prefill(self._policy, prompts, range(len(prompts)), room)
        rows = _Rows(self._policy, cache, lengths)
        if self._rows is None:
            self._rows = rows
        else:
            self._rows.join(rows)
        self._answers += joining
        _draw(joining, logits_RV)


def _draw(answers: Sequence[Underway], logits_RV: Tensor) -> None:
    for one, logits_V in zip(answers, logits_RV.cpu().numpy(), strict=True):
        one.draw(logits_V)


class _Rows(Decoding):
    """Rows that come and go."""

    def join(self, other: _Rows) -> None:
        """The other's rows go on after these."""
        self._cache.join(other._cache)
        self._lengths_R = torch.cat([self._lengths_R, other._lengths_R])
        self._longest = max(self._longest, other._longest)

    def keep(self, rows_R: Tensor) -> None:
        super().keep(rows_R)
        self._longest = int(self._lengths_R.max()) if len(rows_R) else 0
