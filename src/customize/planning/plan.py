"""plan(): what a recipe will take, counted by its own methods on a session that computes nothing.

Loads no weights: it reads the model's configuration, its tokenizer and some rows.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from customize._errors import Unsupported
from customize._options import options_to_dict
from customize.data.reading import read
from customize.data.rendering import ChatRenderer
from customize.interfaces.backend import Adapter, Backend, Full, LoRA
from customize.interfaces.dataset import Dataset
from customize.interfaces.method import Method
from customize.interfaces.renderer import Renderer
from customize.models import locate
from customize.models.shape import ModelShape
from customize.planning.amounts import drawing_flops, forward_flops, training_flops
from customize.planning.counting import CountingSession, Sampled, Work
from customize.planning.evaluation_work import EvaluationWork, evaluation_work
from customize.planning.offers import Estimate, Offer, estimated
from customize.planning.rates import (
    Rate,
    evaluating_on,
    holding_on,
    machine_name,
    rate_of,
)
from customize.planning.some_rows import SomeRows
from customize.runs.backends import choose_backend
from customize.runs.folder import processor
from customize.runs.given import Given, of_recipe
from customize.training.recipe import Recipe
from customize.training.recipe_file import read_recipe

_ROWS = 1000  # that are looked at
_ENOUGH_S = 1.0  # of counting steps, once there are a few
_FEW = 8
_Z = 1.96
_PEFT = "adapter_config.json"
_BUDGET = "token_budget"
_BASE, _PLAIN, _SMALLER = "base", "plain", "int8"
_LAID_OUT, _STAYING = "laid out", ("weights", "adapter and optimizer", "runtime")


@attrs.frozen
class StagePlan:
    """One stage. tokens: [estimate, low, high] of what is trained on, over all steps.

    flops: of training, validation, and what comes before the first step. step_tokens: of the
    largest step, what a group shares at its start counted once. sampled: the most that is drawn at
    once.
    """

    method: str
    rows: int
    steps: int
    tokens: tuple[float, float, float]
    flops: float
    largest: int
    step_tokens: float
    sampled: Sampled


@attrs.frozen
class Plan:
    """What a recipe will take.

    memory: bytes by what they hold, on the backend it would run on; empty where that does not say.
    seconds: [estimate, low, high] of training; None where no run on this machine has been measured
        yet.
    evaluation: what ends the run; None where nothing does, or it cannot be counted.
    evaluation_seconds: as ``seconds``.
    offers: the same elsewhere. advice: what to change, where memory is short.
    held: bytes in all, as ``seconds``, by what runs on this machine held beside what is counted.
    """

    model: str
    backend: str
    machine: str
    num_parameters: int
    num_trainable: int
    stages: tuple[StagePlan, ...]
    memory: Mapping[str, float]
    available: float | None
    seconds: tuple[float, float, float] | None
    rate: Rate | None
    evaluation: EvaluationWork | None
    evaluation_seconds: tuple[float, float, float] | None
    offers: tuple[Estimate, ...]
    advice: str | None
    held: tuple[float, float, float] | None = None

    @property
    def flops(self) -> float:
        """Of training."""
        return sum(stage.flops for stage in self.stages)

    @property
    def tokens(self) -> float:
        return sum(stage.tokens[0] for stage in self.stages)

    @property
    def num_bytes(self) -> float:
        return sum(self.memory.values()) if self.held is None else self.held[0]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**attrs.asdict(self), "flops": self.flops, "bytes": self.num_bytes}


def plan(
    recipe: Recipe | str | os.PathLike[str], offers: Mapping[str, Offer] | None = None
) -> Plan:
    """Plan a recipe, or the one in a file.

    Raises:
        Unsupported: a method learns from what it samples, so that its work cannot be counted
            before; or the model is none on disk.
        OptionError, DataError, ModelError: as training itself would.
    """
    if not isinstance(recipe, Recipe):
        recipe = read_recipe(Path(recipe))
    backend = choose_backend(recipe.backend, recipe.backend_options).settled({})
    if backend.name == "toy":
        raise Unsupported("the toy backend holds no model: there is nothing to plan")
    located = locate(recipe.model, recipe.revision)
    folder = located.path
    shape, renderer = ModelShape.of_folder(folder), ChatRenderer.from_folder(folder)
    adapter = _adapter(recipe.adapter_chosen())
    recipes = [*recipe.before(), recipe]
    given = of_recipe(recipe)
    stages = [
        _stage(r, g, renderer, shape, adapter, backend) for r, g in zip(recipes, given, strict=True)
    ]
    evaluation = evaluation_work(recipe, given[-1], renderer, shape)
    return _summed(located.name, backend, shape, adapter, stages, evaluation, offers or {})


def _adapter(chosen: Adapter | Path) -> Adapter:
    """Of a folder that is gone on with, what its configuration says; all weights without one."""
    if not isinstance(chosen, Path):
        return chosen
    if not (chosen / _PEFT).is_file():
        return Full()
    said = json.loads((chosen / _PEFT).read_text("utf-8"))
    targets = said["target_modules"]
    return LoRA(rank=said["r"], targets=targets if isinstance(targets, str) else tuple(targets))


def _stage(
    recipe: Recipe,
    given: Given,
    renderer: Renderer,
    shape: ModelShape,
    adapter: Adapter,
    backend: Backend,
) -> StagePlan:
    method = given.method
    if "sample" in method.needs or method.data == "documents":
        raise Unsupported(
            f"{recipe.method} learns from what it makes as it goes: its work cannot be counted "
            "before. Run it with options.steps=3 and look at the seconds of a step"
        )
    rows = read(given.data, kind=method.data, on_bad_rows=recipe.on_bad_rows)  # type: ignore[arg-type]
    session = CountingSession(renderer, recipe.seed, backend.capabilities())
    some = SomeRows(rows, _ROWS)
    total = method.num_steps(rows)
    _run(method, session, some, total)
    ledger = session.ledger
    share = len(rows) / len(some)
    training = _sum(ledger.steps).scaled(total / len(ledger.steps))
    flops = (
        training_flops(shape, adapter, training)
        + forward_flops(shape, ledger.forward.scaled(share))
        + drawing_flops(shape, ledger.read, ledger.drawn)
        + _validation(recipe, given, renderer, shape, total)
    )
    each = np.array([step.tokens for step in ledger.steps])
    spread = 0.0 if total == len(each) else _Z * total * each.std() / np.sqrt(len(each))
    return StagePlan(
        method=recipe.method,
        rows=len(rows),
        steps=total,
        tokens=(training.tokens, training.tokens - spread, training.tokens + spread),
        flops=flops,
        largest=training.largest,
        step_tokens=max(step.computed for step in ledger.steps),
        sampled=ledger.sampled,
    )


def _run(method: Method, session: CountingSession, rows: Dataset, total: int) -> None:
    began = time.monotonic()
    for step in method.train(session, rows):
        enough = step.number >= _FEW and time.monotonic() - began > _ENOUGH_S
        if step.number == total or enough:
            return


def _sum(works: Sequence[Work]) -> Work:
    whole = Work()
    for work in works:
        whole = whole.plus(work)
    return whole


def _validation(
    recipe: Recipe, given: Given, renderer: Renderer, shape: ModelShape, total: int
) -> float:
    if given.validation is None or not recipe.evaluate_every:
        return 0.0
    kind = given.method.data
    rows = read(given.validation, kind=kind, on_bad_rows=recipe.on_bad_rows)  # type: ignore[arg-type]
    some = SomeRows(rows, _ROWS)
    session = CountingSession(renderer, recipe.seed, frozenset())
    given.method.validate(session, some)
    looks = -(-total // recipe.evaluate_every)
    return looks * len(rows) / len(some) * forward_flops(shape, session.ledger.forward)


def _summed(
    model: str,
    backend: Backend,
    shape: ModelShape,
    adapter: Adapter,
    stages: Sequence[StagePlan],
    evaluation: EvaluationWork | None,
    offers: Mapping[str, Offer],
) -> Plan:
    flops, tokens = sum(s.flops for s in stages), sum(s.tokens[0] for s in stages)
    evaluating = 0.0 if evaluation is None else evaluation.flops
    memory = _most(backend, shape, adapter, stages, evaluation)
    machine = machine_name(backend.name, backend.numerics(), processor())
    rate, other = rate_of(machine), rate_of(evaluating_on(machine))
    holding = rate_of(holding_on(machine))
    available, num_bytes = backend.available_bytes(), _expected(memory, holding)
    return Plan(
        model=model,
        backend=backend.name,
        machine=machine,
        num_parameters=shape.num_parameters,
        num_trainable=shape.trainable(adapter),
        stages=tuple(stages),
        memory=memory,
        available=available,
        seconds=None if rate is None else rate.expected(flops),
        rate=rate,
        evaluation=evaluation,
        evaluation_seconds=None if other is None else other.expected(evaluating),
        offers=tuple(
            estimated(n, o, flops + evaluating, tokens, num_bytes) for n, o in offers.items()
        ),
        advice=None
        if available is None or num_bytes <= available
        else _advice(backend, shape, adapter, stages, evaluation, available, holding),
        held=None if holding is None else holding.expected(sum(memory.values())),
    )


def _expected(memory: Mapping[str, float], holding: Rate | None) -> float:
    counted = sum(memory.values())
    return counted if holding is None else holding.expected(counted)[0]


def _most(
    backend: Backend,
    shape: ModelShape,
    adapter: Adapter,
    stages: Sequence[StagePlan],
    evaluation: EvaluationWork | None,
) -> Mapping[str, float]:
    """What is held when most is: while training, with what sampling before it has left, or while
    sampling, of which activations and the gradient are no part.
    """
    step_tokens = max(stage.step_tokens for stage in stages)
    training = dict(
        backend.memory(shape, adapter, max(stage.largest for stage in stages), step_tokens)
    )
    asked = [stage.sampled for stage in stages]
    asked += [] if evaluation is None else [evaluation.sampled]
    most = max(asked, key=lambda one: one.tokens)
    sampling = dict(backend.sampling_memory(shape, most.rows, most.tokens)) if most.rows else {}
    rest = {name: training[name] for name in _STAYING if name in training}
    if any(stage.sampled.rows for stage in stages) and _LAID_OUT in sampling:
        training[_LAID_OUT] = sampling[_LAID_OUT]
    return max(training, {**rest, **sampling}, key=lambda one: sum(one.values()))


def _advice(
    backend: Backend,
    shape: ModelShape,
    adapter: Adapter,
    stages: Sequence[StagePlan],
    evaluation: EvaluationWork | None,
    available: float,
    holding: Rate | None,
) -> str:
    """The first change that makes it fit, of those that cost more and more, each with the others
    before it: by what the plan itself would say then.
    """
    largest = max(stage.largest for stage in stages)
    lora = adapter if isinstance(adapter, LoRA) else LoRA()
    low = LoRA(**{**options_to_dict(lora), "rank": max(1, lora.rank // 4)})
    of_backend = f"--set backend={backend.name} --set backend_options."
    changes: list[tuple[Adapter, Mapping[str, Any], str]] = [
        (lora, {}, "--set 'adapter={rank: 16}': LoRA in place of all weights"),
        (low, {}, f"--set adapter.rank={low.rank}: a smaller adapter"),
    ]
    own = options_to_dict(backend)
    if own.get(_BASE) == _PLAIN:
        told = f"{of_backend}{_BASE}={_SMALLER}: the base in 8 bits, rounded, and slower"
        changes.append((low, {_BASE: _SMALLER}, told))
    if _BUDGET in own:
        half = largest // 2
        told = f"{of_backend}{_BUDGET}={largest}: the same result, a little slower"
        changes.insert(0, (adapter, {_BUDGET: largest}, told))
        told = f"rows of {half} tokens at most: the longest has {largest}"
        changes.append((low, {_BUDGET: half}, told))
    for changed, other, told in changes:
        if other:
            backend = type(backend)(**{**options_to_dict(backend), **other})
        tokens = other.get(_BUDGET, largest)
        stages = [attrs.evolve(s, largest=min(s.largest, tokens)) for s in stages]
        memory = _most(backend, shape, changed, stages, evaluation)
        if _expected(memory, holding) <= available:
            return told
    return "a smaller model, or another machine: its weights alone leave too little room"
