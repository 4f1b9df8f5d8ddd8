"""Answering on this engine: one thread computes, and batches what others ask meanwhile.

An answer joins those under way at the next token and leaves them at its end, so none waits for
another's. Prompts are read whole, and meanwhile nobody's next token is computed.

Shape legend: R answers under way, T tokens, V vocabulary.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from customize import (
    Answering,
    BackendError,
    Prompt,
    Query,
    Renderer,
    Runtime,
    Said,
    resolve,
)
from customize_torch.decoding import Decoding
from customize_torch.policy import Policy
from customize_torch.sampling import prefill

_SLOTS = 8
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


@attrs.frozen(eq=False)
class _Answer:
    """A query, what draws its tokens, and where who asked hears them; None is the end."""

    query: Query
    answering: Answering
    left: threading.Event
    said: queue.SimpleQueue[Said | Exception | None] = attrs.field(factory=queue.SimpleQueue)


class TorchRuntime(Runtime):
    """A base and customizations of it, by name; None is the base's own weights."""

    slots = _SLOTS

    def __init__(
        self, policies: Mapping[str | None, Policy], renderer: Renderer, context: int
    ) -> None:
        self.renderer = renderer
        self.adapters = tuple(name for name in policies if name is not None)
        self.context = context
        self._policies = {name: policy.rounded() for name, policy in policies.items()}
        self._batches = {name: _Batch(policy) for name, policy in self._policies.items()}
        self._waiting: list[_Answer] = []
        self._changed = threading.Condition()
        self._computing = threading.Lock()  # one forward at a time: adapters are switched in place
        self._closed = False
        threading.Thread(target=self._work, name="decoding", daemon=True).start()

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

    def stream(self, query: Query, cancelled: threading.Event | None = None) -> Iterator[Said]:
        self._policies[query.adapter].check(query.tokens)
        answering = Answering(query, self.renderer)
        answer = _Answer(query, answering, cancelled or threading.Event())
        with self._changed:
            if self._closed:
                raise BackendError("the runtime was closed")
            self._waiting.append(answer)
            self._changed.notify()
        try:
            while (said := answer.said.get()) is not None:
                if isinstance(said, Exception):
                    raise said
                yield said
        finally:
            answer.left.set()

    @torch.inference_mode()
    def logprobs(self, tokens: Ints, start: int, adapter: str | None = None) -> Floats:
        with self._computing:
            found: Floats = self._policies[adapter].distributions(tokens, start).cpu().numpy()
        return found

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    @torch.inference_mode()
    def _work(self) -> None:
        while (joining := self._next()) is not None:
            with self._computing:
                for name, batch in self._batches.items():
                    batch.step([one for one in joining if one.query.adapter == name])
        error = BackendError("the runtime was closed")
        for answer in self._waiting:
            answer.said.put(error)
        for batch in self._batches.values():
            batch.fail(error)

    def _next(self) -> list[_Answer] | None:
        """What joins now, waiting for it where nothing is under way; None when all is over."""
        going = sum(len(batch.answers) for batch in self._batches.values())
        with self._changed:
            self._changed.wait_for(lambda: going or self._waiting or self._closed)
            if self._closed:
                return None
            room = self.slots - going
            joining, self._waiting = self._waiting[:room], self._waiting[room:]
            return joining


class _Batch:
    """Answers under way with the same weights."""

    def __init__(self, policy: Policy) -> None:
        self.answers: list[_Answer] = []
        self._policy = policy
        self._rows: _Rows | None = None
        self._logits_RV = torch.empty(0)

    def step(self, joining: Sequence[_Answer]) -> None:
        """Read the prompts of those that join, and draw everyone's next token."""
        self.answers += joining
        if not self.answers:
            return
        try:
            if joining:
                self._read(joining)
            self._draw()
        except Exception as error:  # told to everyone whose answer it was
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """End every answer with an error."""
        for answer in self.answers:
            answer.said.put(error)
        self.answers, self._rows = [], None

    def _read(self, joining: Sequence[_Answer]) -> None:
        prompts = [Prompt(answer.query.tokens) for answer in joining]
        room = max(answer.query.sampling.max_tokens for answer in joining)
        cache, lengths, logits_RV = prefill(self._policy, prompts, range(len(prompts)), room)
        rows = _Rows(self._policy, cache, lengths)
        if self._rows is None:
            self._rows, self._logits_RV = rows, logits_RV
        else:
            self._rows.join(rows)
            self._logits_RV = torch.cat([self._logits_RV, logits_RV])

    def _draw(self) -> None:
        going = []
        for row, (answer, logits_V) in enumerate(
            zip(self.answers, self._logits_RV.cpu().numpy(), strict=True)
        ):
            if answer.left.is_set():
                answer.said.put(None)
                continue
            answer.said.put(answer.answering.draw(logits_V))
            if answer.answering.over:
                answer.said.put(None)
            else:
                going.append(row)
        self._go_on(going)

    def _go_on(self, going: list[int]) -> None:
        """The next token's logits, for the answers that are not at their end."""
        assert self._rows is not None
        if len(going) < len(self.answers):
            self.answers = [self.answers[row] for row in going]
            self._rows.keep(torch.tensor(going, dtype=torch.long, device=self._logits_RV.device))
        if not going:
            self._rows = None
            return
        last = [answer.answering.tokens[-1] for answer in self.answers]
        self._logits_RV = self._rows.step(torch.tensor(last, device=self._logits_RV.device))


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
