"""Sessions, on which methods run, and snapshots. Know nothing of methods, and of no hardware.

Shape legend: N tokens in all, T tokens of one sequence, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np

from customize._batch import Batch, Floats, Ints
from customize._errors import Unsupported
from customize._losses import CrossEntropy, Loss
from customize._options import option, options
from customize.interfaces.handle import After, Handle
from customize.interfaces.renderer import Renderer
from customize.interfaces.sampling import Completion, OnToken, Prompt, Sampling


@options
class LoRA:
    """Low-rank adapters (arXiv 2106.09685): W + alpha/rank · B A, in PEFT's format.

    Dropout is not offered: it would make gradients inexact and runs unrepeatable.
    """

    rank: int = option(default=16, help="Rank of the update.", at_least=1)
    alpha: float = option(default=32.0, help="Scale; the update is alpha / rank · B A.", above=0)
    targets: str | tuple[str, ...] = option(
        default="all-linear", help="'all-linear', or names of linear layers such as q_proj."
    )
    rslora: bool = option(
        default=False, help="Scale by alpha / sqrt(rank) instead (arXiv 2312.03732)."
    )
    on: str | None = option(
        default=None,
        help="The folder of a finished run or of an adapter that stays below as it is, while this "
        "one is trained on top; saved, both are one.",
    )


@options
class Full:
    """Train every weight, in fp32 masters."""


Adapter = LoRA | Full


@options
class AdamW:
    """AdamW (arXiv 1711.05101), decoupled weight decay, one step."""

    lr: float = option(default=2e-4, help="Learning rate.", at_least=0)
    beta1: float = option(default=0.9, help="Decay of the mean.", at_least=0, below=1)
    beta2: float = option(default=0.95, help="Decay of the variance.", at_least=0, below=1)
    eps: float = option(default=1e-8, help="Added to the root of the variance.", above=0)
    weight_decay: float = option(default=0.0, help="Decoupled weight decay.", at_least=0)
    max_grad_norm: float = option(
        default=1.0, help="The gradient is scaled down to this norm; 0 leaves it.", at_least=0
    )


@attrs.frozen
class LossOutput:
    """loss: the sum over the batch. logprobs: float32 [N], 0 where the weight is 0."""

    loss: float
    logprobs: Floats


class Snapshot(ABC):
    """Weights as they were: does not move when training goes on."""

    renderer: Renderer

    @abstractmethod
    def forward(self, batch: Batch) -> Handle[Floats]:
        """Log-probabilities, float32 [N], 0 where the weight is 0."""

    @abstractmethod
    def sample(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        on_token: OnToken | None = None,
    ) -> Handle[list[list[Completion]]]:
        """Completions: one list a prompt, ``prompt.n`` long.

        Completion j at position t draws from a counter-based generator keyed (seed, j, t), so
        order and batch size change nothing.
        """

    def distributions(self, tokens: Ints, start: int) -> Floats:
        """Log-probabilities of every token at each place from ``start`` on, given what precedes
        it: float32 [T - start, V]. An export is compared by them.

        Raises:
            Unsupported: the backend does not declare ``distributions``.
        """
        raise Unsupported("this backend does not declare distributions")

    def context(self) -> int | None:
        """Tokens of a sequence that the model holds, where that is known: an episode ends there."""
        return None

    def device_peak(self) -> int | None:
        """The most bytes of the device's own memory in use at once since this was last asked.

        Of the processes that compute where these are others than this one, and have no device; None
        where this process's memory is all there is, or nobody tells.
        """
        return None


class Session(Snapshot):
    """One customization of a base: the waist that every method runs on.

    Work happens in the order of the calls. An error is raised by ``result`` or by the next call.
    """

    seed: int
    capabilities: frozenset[str]

    @abstractmethod
    def forward_backward(self, batch: Batch, loss: Loss) -> Handle[LossOutput]:
        """Add the gradient of ``loss`` to what is pending.

        Raises:
            OutOfMemoryError: the step is lost: nothing is pending any more, of this call or of
                earlier ones, and the weights are as they were.
        """

    def surrogate(self, batch: Batch, loss: Loss) -> Handle[LossOutput]:
        """``forward_backward`` for a loss that a backend cannot take as it is, one forward more.

        Exact, whatever the loss couples: forward, its gradient by log-probability over the whole
        batch, then the log-likelihood weighted with that.
        """
        logprobs = self.forward(batch).result()
        value, gradient_N = loss.evaluate(logprobs, batch)
        weighted = batch.with_columns(weights=np.where(batch.scored, -gradient_N, 0.0))
        sent = self.forward_backward(weighted, CrossEntropy())
        return After(sent, LossOutput(value, logprobs))

    @abstractmethod
    def optim_step(self, optimizer: AdamW) -> Handle[float]:
        """Apply and clear the pending gradient; the value is its norm before clipping.

        Raises:
            NonFiniteError: by ``result``; weights and optimizer are as they were, the pending
                gradient is cleared.
        """

    @abstractmethod
    def snapshot(self, name: str | None = None) -> Snapshot:
        """The present weights; a named one is kept through ``save`` and ``load``."""

    @abstractmethod
    def named_snapshot(self, name: str) -> Snapshot:
        """The snapshot that was kept under this name.

        Raises:
            CheckpointError: there is none.
        """

    @abstractmethod
    def base(self) -> Snapshot:
        """The base without this customization; no second copy is held.

        Raises:
            Unsupported: the weights themselves are trained.
        """

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write weights, optimizer, random state and named snapshots into an existing folder."""

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Become exactly what was saved.

        Raises:
            ModelError: it was saved from another base.
            CheckpointError: a part is missing.
        """

    @abstractmethod
    def save_weights(self, folder: Path) -> None:
        """Write what the rest of the world loads: PEFT's format, or safetensors for ``Full``."""

    def close(self) -> None:
        """Free what the session holds."""
