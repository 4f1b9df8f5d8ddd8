"""What a run takes on a backend of this machine: bytes by what holds them, and seconds by what
finished runs have shown. Counts no work.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs

from customize._processor import processor
from customize.interfaces.backend import Backend
from customize.interfaces.session import Adapter
from customize.models.shape import ModelShape
from customize.planning.evaluation_work import EvaluationWork
from customize.planning.rates import Rate, evaluating_on, holding_on, machine_name, rate_of
from customize.planning.stage import StagePlan

_LAID_OUT, _STAYING = "laid out", ("weights", "adapter and optimizer", "runtime")
Interval = tuple[float, float, float]  # estimate, low, high


@attrs.frozen
class Asked:
    """What is asked of a backend: a recipe's stages and its evaluation on one model."""

    shape: ModelShape
    adapter: Adapter
    stages: Sequence[StagePlan]
    evaluation: EvaluationWork | None

    @property
    def largest(self) -> int:
        """Tokens of the largest unit that is computed at once; 0 where that is not known."""
        return max(stage.largest for stage in self.stages)

    @property
    def flops(self) -> float:
        """Of training."""
        return sum(stage.flops for stage in self.stages)

    @property
    def is_counted(self) -> bool:
        """Whether all of training is."""
        return all(stage.is_counted for stage in self.stages)

    @property
    def passes(self) -> float:
        """Over all weights, for what is drawn in training and evaluation."""
        training = sum(stage.passes for stage in self.stages)
        return training + (0.0 if self.evaluation is None else self.evaluation.passes)

    @property
    def evaluation_flops(self) -> float:
        return 0.0 if self.evaluation is None else self.evaluation.flops


@attrs.frozen
class Here:
    """memory: bytes by what they hold. rates: of training, evaluation and memory, where finished
    runs have shown any.
    """

    backend: str
    machine: str
    memory: Mapping[str, float]
    available: float | None
    rate: Rate | None
    evaluation_rate: Rate | None
    holding: Rate | None

    @classmethod
    def on(cls, backend: Backend, asked: Asked) -> Here:
        """By what the backend says, settled, and what was remembered of it here."""
        machine = machine_name(backend.name, backend.numerics(), processor(), backend.machine())
        return cls(
            backend=backend.name,
            machine=machine,
            memory=_most(backend, asked),
            available=backend.available_bytes(),
            rate=rate_of(machine),
            evaluation_rate=rate_of(evaluating_on(machine)),
            holding=rate_of(holding_on(machine)),
        )

    @classmethod
    def nowhere(cls, backend: Backend) -> Here:
        """Of a backend that cannot run on this machine: nothing is known."""
        return cls(backend.name, f"{backend.name}, which is not here", {}, None, None, None, None)

    @property
    def held(self) -> Interval | None:
        """Bytes in all, by what runs held beside what is counted."""
        return None if self.holding is None else self.holding.expected(sum(self.memory.values()))

    @property
    def num_bytes(self) -> float:
        return sum(self.memory.values()) if self.held is None else self.held[0]

    @property
    def fits(self) -> bool:
        """Also where it is not known how much is free."""
        return self.available is None or self.num_bytes <= self.available

    def seconds(self, asked: Asked) -> Interval | None:
        """Of training."""
        rate = self.rate if asked.is_counted else None
        return None if rate is None else rate.expected(asked.flops)

    def evaluation_seconds(self, asked: Asked) -> Interval | None:
        rate = self.evaluation_rate
        return None if rate is None else rate.expected(asked.evaluation_flops)

    def fits_with(self, backend: Backend, asked: Asked) -> bool:
        """Whether the backend with other options, or less that is asked of it, would fit."""
        return attrs.evolve(self, memory=_most(backend, asked)).fits


def _most(backend: Backend, asked: Asked) -> Mapping[str, float]:
    """What is held when most is: while training, with what sampling before it has left, or while
    sampling, of which activations and the gradient are no part.
    """
    # Of what nobody knows as many tokens are computed together as the backend allows.
    known = max(stage.step_tokens for stage in asked.stages)
    step_tokens = known if asked.is_counted else math.inf
    training = dict(backend.memory(asked.shape, asked.adapter, asked.largest, step_tokens))
    drawn = [stage.sampled for stage in asked.stages]
    drawn += [] if asked.evaluation is None else [asked.evaluation.sampled]
    most = max(drawn, key=lambda one: one.tokens)
    sampling = (
        dict(backend.sampling_memory(asked.shape, most.rows, most.tokens)) if most.rows else {}
    )
    rest = {name: training[name] for name in _STAYING if name in training}
    if any(stage.sampled.rows for stage in asked.stages) and _LAID_OUT in sampling:
        training[_LAID_OUT] = sampling[_LAID_OUT]
    return max(training, {**rest, **sampling}, key=lambda one: sum(one.values()))
