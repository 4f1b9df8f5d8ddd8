"""Backends: what holds the weights and opens sessions on them. Knows nothing of methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from customize._errors import Unsupported
from customize.interfaces.model import ModelFolder
from customize.interfaces.renderer import Renderer
from customize.interfaces.session import Adapter, Session, Snapshot

if TYPE_CHECKING:
    from customize.interfaces.runtime import Runtime
    from customize.models.shape import ModelShape


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
