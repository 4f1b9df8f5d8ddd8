"""A session that computes nothing and counts: any method's own loop says what it will ask for.

Shape legend: N tokens, S sequences, T tokens of one sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt

from customize._batch import Batch, Floats
from customize._differentiate import Couples
from customize._losses import Loss
from customize.interfaces.handle import Done
from customize.interfaces.renderer import Renderer
from customize.interfaces.sampling import Completion, OnToken, Prompt, Sampling
from customize.interfaces.session import AdamW, LossOutput, Session, Snapshot

_TOGETHER = 128  # rows that are drawn at once, of more than these


@attrs.frozen
class Work:
    """Tokens by what is done with them.

    tokens: all of them, as a run logs them. computed: the same, where what a group shares at its
    start counts once. scored: tokens whose log-probability is wanted. squares: the sum of T² over
    sequences, which attention is in proportion to.
    largest: tokens of the largest unit that is computed at once, whatever the budget.
    """

    tokens: float = 0.0
    computed: float = 0.0
    scored: float = 0.0
    squares: float = 0.0
    largest: int = 0

    def plus(self, other: Work) -> Work:
        """Both."""
        return Work(
            self.tokens + other.tokens,
            self.computed + other.computed,
            self.scored + other.scored,
            self.squares + other.squares,
            max(self.largest, other.largest),
        )

    def scaled(self, times: float) -> Work:
        """The same so many times."""
        return Work(
            self.tokens * times,
            self.computed * times,
            self.scored * times,
            self.squares * times,
            self.largest,
        )

    @classmethod
    def of(cls, batch: Batch, couples: Couples = "group") -> Work:
        """What a batch asks for, for a loss that ``couples`` so much.

        Only a loss over groups needs one of them at once; any other group that is more than the
        budget is cut into its sequences.
        """
        repeated, group = _repeated(batch)
        sequence = int(batch.lengths.max())
        lengths = batch.lengths.astype(np.float64)
        return cls(
            tokens=float(batch.num_tokens),
            computed=float(batch.num_tokens - repeated),
            scored=float(batch.scored.sum()),
            squares=float((lengths**2).sum()),
            largest=max(sequence, group) if couples == "group" else sequence,
        )


@attrs.frozen
class Sampled:
    """What is sampled together: rows, and their tokens, those to come among them."""

    rows: int = 0
    tokens: int = 0


@attrs.define
class Ledger:
    """What was asked for. forward: of forward passes alone. steps: each step's training.

    drawn: tokens sampled at most; read: of their prompts. passes: over all weights for them, a
    token more of all rows that are drawn together. sampled: the most at once.
    """

    forward: Work = attrs.field(factory=Work)
    steps: list[Work] = attrs.field(factory=list)
    pending: Work = attrs.field(factory=Work)
    read: float = 0.0
    drawn: float = 0.0
    passes: float = 0.0
    sampled: Sampled = attrs.field(factory=Sampled)


class CountingSnapshot(Snapshot):
    """Says that every token is certain, and draws the first token of the vocabulary."""

    def __init__(self, renderer: Renderer, ledger: Ledger) -> None:
        self.renderer = renderer
        self._ledger = ledger

    def forward(self, batch: Batch) -> Done[Floats]:
        self._ledger.forward = self._ledger.forward.plus(Work.of(batch))
        return Done(np.zeros(batch.num_tokens, np.float32))

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Done[list[list[Completion]]]:
        rows = sum(prompt.n for prompt in prompts)
        tokens = sum(prompt.n * (len(prompt.tokens) + sampling.max_tokens) for prompt in prompts)
        self._ledger.read += sum(len(prompt.tokens) for prompt in prompts)
        self._ledger.drawn += rows * sampling.max_tokens
        self._ledger.passes += -(-rows // _TOGETHER) * sampling.max_tokens
        self._ledger.sampled = max(
            self._ledger.sampled, Sampled(rows, tokens), key=lambda one: one.tokens
        )
        zeros = np.zeros(sampling.max_tokens, np.float32)
        said = Completion(zeros.astype(np.int32), zeros, zeros, "length")
        return Done([[said] * prompt.n for prompt in prompts])


class CountingSession(CountingSnapshot, Session):
    """A session whose weights are nothing."""

    def __init__(self, renderer: Renderer, seed: int, capabilities: frozenset[str]) -> None:
        super().__init__(renderer, Ledger())
        self.seed = seed
        self.capabilities = capabilities

    @property
    def ledger(self) -> Ledger:
        return self._ledger

    def forward_backward(self, batch: Batch, loss: Loss) -> Done[LossOutput]:
        self._ledger.pending = self._ledger.pending.plus(Work.of(batch, loss.couples))
        return Done(LossOutput(0.0, np.zeros(batch.num_tokens, np.float32)))

    def optim_step(self, optimizer: AdamW) -> Done[float]:
        self._ledger.steps.append(self._ledger.pending)
        self._ledger.pending = Work()
        return Done(0.0)

    def snapshot(self, name: str | None = None) -> Snapshot:
        return CountingSnapshot(self.renderer, self._ledger)

    def named_snapshot(self, name: str) -> Snapshot:
        return self.snapshot(name)

    def base(self) -> Snapshot:
        return self.snapshot()

    def save(self, folder: Path) -> None:
        """There is nothing to write."""

    def load(self, folder: Path) -> None:
        """There is nothing to read."""

    def save_weights(self, folder: Path) -> None:
        """There is nothing to write."""


def _repeated(batch: Batch) -> tuple[int, int]:
    """Tokens that a group's sequences share at their start, beyond the first; the largest group."""
    repeated, largest = 0, 0
    groups, counts = np.unique(batch.groups, return_counts=True)
    for group in groups[counts > 1]:
        members = np.flatnonzero(batch.groups == group)
        shared = (len(members) - 1) * _prefix([_tokens(batch, member) for member in members])
        repeated += shared
        largest = max(largest, int(batch.lengths[members].sum()) - shared)
    return repeated, largest


def _tokens(batch: Batch, sequence: np.int64) -> npt.NDArray[np.int32]:
    return batch.tokens[batch.offsets[sequence] : batch.offsets[sequence + 1]]


def _prefix(sequences: Sequence[npt.NDArray[np.int32]]) -> int:
    shortest = min(len(tokens) for tokens in sequences)
    equal = np.ones(shortest, bool)
    for tokens in sequences[1:]:
        equal &= tokens[:shortest] == sequences[0][:shortest]
    return int(np.argmin(equal)) if not equal.all() else shortest - 1
