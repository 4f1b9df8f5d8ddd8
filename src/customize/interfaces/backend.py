"""Backends: what holds the weights and runs the primitives. Knows nothing of methods.

Shape legend: N tokens in all, T tokens of one sequence, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, Protocol, TypeVar

import attrs
import numpy as np
import numpy.typing as npt

from customize._batch import Batch, Floats, Ints
from customize._errors import Unsupported
from customize._losses import CrossEntropy, Loss
from customize._options import option, options
from customize.interfaces.model import ModelFolder
from customize.interfaces.renderer import Renderer

if TYPE_CHECKING:
    from customize.interfaces.runtime import Runtime
    from customize.models.shape import ModelShape

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Handle(Protocol[T_co]):
    """Work that was asked for: done already in process, a future on a service."""

    def result(self) -> T_co:
        """Wait for the value, or raise what went wrong."""

    def done(self) -> bool:
        """Whether ``result`` returns at once."""


@attrs.frozen
class Done(Generic[T]):
    """A handle whose work is finished."""

    value: T

    def result(self) -> T:
        return self.value

    def done(self) -> bool:
        return True


@attrs.frozen
class Failed:
    """A handle whose work failed."""

    error: Exception

    def result(self) -> NoReturn:
        raise self.error

    def done(self) -> bool:
        return True


@attrs.frozen
class _After(Generic[T]):
    """A value that is at hand, once other work went well."""

    work: Handle[object]
    value: T

    def result(self) -> T:
        self.work.result()
        return self.value

    def done(self) -> bool:
        return self.work.done()


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


def _tokens(values: npt.ArrayLike) -> Ints:
    return np.asarray(values, np.int32)


@attrs.frozen(eq=False)
class Prompt:
    """Tokens to go on from, int32 [T], for ``n`` completions that draw from ``seed``."""

    tokens: Ints = attrs.field(converter=_tokens)
    n: int = 1
    seed: int = 0


@options
class Sampling:
    """How completions are drawn."""

    max_tokens: int = option(default=256, help="Tokens at most.", at_least=1)
    temperature: float = option(default=1.0, help="0 takes the likeliest token.", at_least=0)
    top_k: int = option(default=0, help="Only the k likeliest tokens; 0 is off.", at_least=0)
    top_p: float = option(
        default=1.0, help="Only the likeliest tokens of this mass.", above=0, at_most=1
    )
    stop: tuple[str, ...] | None = option(
        default=None, help="Texts that end a completion, beside the model's own stop tokens."
    )
    stop_tokens: tuple[int, ...] | None = option(
        default=None, help="Tokens that end a completion; None takes the renderer's, () none."
    )
    prompt_logprobs: bool = option(
        default=False, help="Also the log-probability of each prompt token."
    )


@attrs.frozen(eq=False)
class Completion:
    """What a model said.

    tokens: int32 [T], the stop token included.
    logprobs: float32 [T], those of ``forward``: temperature 1, nothing cut off.
    sampling_logprobs: float32 [T], those of the distribution the tokens were drawn from.
    stop_reason: ``stop`` or ``length``.
    prompt_logprobs: float32 [prompt tokens], 0 for the first, when asked for.
    """

    tokens: Ints
    logprobs: Floats
    sampling_logprobs: Floats
    stop_reason: Literal["stop", "length"]
    prompt_logprobs: Floats | None = None


# (prompt's index, completion's index, token), called as tokens are drawn.
OnToken = Callable[[int, int, int], None]


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
        return _After(sent, LossOutput(value, logprobs))

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


class Engine(ABC):
    """A base in memory, held once for all its sessions.

    dtype: what the base computes in, as float32 or bfloat16; how exact its numbers are.
    """

    renderer: Renderer
    capabilities: frozenset[str]
    dtype: str = "float32"

    @abstractmethod
    def open(self, adapter: Adapter | Path, seed: int = 0) -> Session:
        """Begin a customization, or go on from a folder that ``save_weights`` wrote."""

    @abstractmethod
    def base(self) -> Snapshot:
        """The base itself."""

    def runtime(self, adapters: Mapping[str, Path]) -> Runtime:
        """The base, loaded to answer, and customizations of it: folders that ``save_weights``
        wrote, by name. While it answers the engine does nothing else.

        Raises:
            Unsupported: ``serve`` is not declared.
        """
        raise Unsupported(
            "this backend does not declare serve: its runs are trained and evaluated, and served "
            "from an export"
        )


@attrs.frozen
class Smaller:
    """A change of one option of a backend after which training takes less memory.

    option: its name, with dots where it is a key inside of one. cost: what the change costs, for a
    person. exact: whether results stay the same, up to rounding.
    """

    option: str
    value: str | int
    cost: str
    exact: bool = True

    def of(self, backend: Backend) -> Backend:
        """The backend with this change, and all else that it was settled on."""
        name, *inside = self.option.split(".")
        changed = {name: _changed(getattr(backend, name), inside, self.value)}
        return attrs.evolve(backend, **changed)  # type: ignore[misc]  # options are of attrs

    def setting(self, backend: str) -> str:
        """What a command is given for it, where the backend has this name."""
        return f"--set backend={backend} --set backend_options.{self.option}={self.value}"


class Backend(ABC):
    """A kind of hardware or service."""

    name: str

    @abstractmethod
    def probe(self) -> str | None:
        """Why it cannot run here, or None. Imports nothing heavy."""

    @abstractmethod
    def capabilities(self) -> frozenset[str]:
        """Names of what its sessions can do beyond ``forward``.

        ``forward_backward`` (with ``optim_step``), ``sample``, ``snapshot``, ``base``, ``save``
        (with ``load`` and ``save_weights``), ``lora`` and ``full``; ``stack`` where ``LoRA(on=…)``
        is trained on top of another adapter; ``distributions``; ``serve`` where its engines make a
        ``runtime``; and ``peft`` where ``save_weights`` writes what PEFT, or for ``Full``
        transformers, loads. What is not declared raises ``Unsupported``.
        """

    def settled(self, kept: Mapping[str, object]) -> Backend:
        """This backend with every choice made that was left to it, as ``dtype="auto"`` is.

        ``kept`` is what ``numerics`` said when the run began: a choice is made as it was then.
        """
        return self

    def numerics(self) -> Mapping[str, str | int]:
        """Options on which the bits of its results depend; a run goes on with equal ones only, but
        for those of ``may_change``.
        """
        return {}

    def may_change(self) -> frozenset[str]:
        """Those of ``numerics`` that a run may go on with otherwise, which is told: they decide how
        results are rounded and nothing else, as the size of the pieces does that sums are cut into.
        """
        return frozenset()

    def follow(self) -> None:
        """Where another process runs the method: do what it asks, and exit when it has ended.

        Called as soon as a backend is chosen. Returns at once in the process that runs the method,
        which a backend of one process always is.
        """
        return

    def memory(
        self, shape: ModelShape, adapter: Adapter, largest: int, step_tokens: float
    ) -> Mapping[str, float]:
        """Bytes that training will take, by what they hold; nothing where that is not known.

        Loads nothing. ``largest``: tokens of the largest unit that is computed at once;
        ``step_tokens``: of the largest step.
        """
        return {}

    def sampling_memory(self, shape: ModelShape, rows: int, tokens: int) -> Mapping[str, float]:
        """Bytes that sampling takes beside the weights, by what they hold; nothing where that is
        not known.

        Loads nothing. ``rows`` and ``tokens``: of the most that is asked for at once, completions
        among them. What is kept when a sampling has ended is under ``laid out``.
        """
        return {}

    def available_bytes(self) -> float | None:
        """What is free for it where it would compute; None where that is not known."""
        return None

    def smaller(self, largest: int) -> Sequence[Smaller]:
        """Changes of its options after which training takes less memory, the cheapest first, each
        by itself; nothing where there is none, or they are made already.

        ``largest``: as of ``memory``. Where a run does not fit, ``customize plan`` names those of
        them that make it fit.
        """
        return ()

    def remarks(self) -> Sequence[str]:
        """What else is to be known of ``memory``, a sentence each: how many processes it counts.

        ``customize plan`` tells it.
        """
        return ()

    def hardware(self) -> Mapping[str, str]:
        """What it would compute on and by what, by name, for a person; nothing where that is not
        known. Loads no model. ``customize doctor`` tells it.
        """
        return {}

    def machine(self) -> Mapping[str, str | int]:
        """What its speed depends on beside ``numerics`` and the processor, which change no run that
        goes on: the device's name, the number of processes. Nothing where there is nothing else.
        """
        return {}

    @abstractmethod
    def load(self, model: ModelFolder) -> Engine:
        """Hold a base.

        Raises:
            ModelError: it cannot be loaded, or its architecture is not supported.
        """


def _changed(value: Any, keys: Sequence[str], to: str | int) -> Any:
    """What an option holds, with what lies under ``keys`` in it changed."""
    if not keys:
        return to
    first, *more = keys
    return {**value, first: _changed(value.get(first, {}), more, to)}
