"""plan(): what a recipe will take, counted by its own methods on a session that computes nothing.

Loads no weights: it reads the model's configuration, its tokenizer and some rows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from customize._errors import BackendError, Unsupported
from customize.data.rendering import ChatRenderer
from customize.interfaces.backend import Backend
from customize.interfaces.session import Adapter, Full, LoRA
from customize.models import locate
from customize.models.shape import ModelShape
from customize.planning.advice import Way, advice
from customize.planning.elsewhere import least_bytes, weight_bytes
from customize.planning.evaluation_work import EvaluationWork, evaluation_work
from customize.planning.here import Asked, Here
from customize.planning.offers import Estimate, Offer
from customize.planning.rates import Rate
from customize.planning.stage import StagePlan, stage_plan
from customize.runs.backends import choose_backend, named, others_at_hand
from customize.runs.folder import RunFolder
from customize.runs.given import of_recipe
from customize.training.recipe import Recipe
from customize.training.recipe_file import read_recipe

_PEFT = "adapter_config.json"
_SPREAD = 0.15  # of what is counted, by benchmarks/plan.py


@attrs.frozen
class Plan:
    """What a recipe will take.

    memory: bytes by what they hold, on the backend it would run on; empty where that does not say.
    seconds: [estimate, low, high] of training; None where no run on this machine has been measured
        yet.
    evaluation: what ends the run; None where nothing does, or it cannot be counted.
    evaluation_seconds: as ``seconds``.
    offers: the same elsewhere. advice: where memory is short, what to change, a line a change.
    held: bytes in all, as ``seconds``, by what runs on this machine held beside what is counted.
    recipe: what is planned. numerics: what the backend settled on, of its options. computes: what
        it says of the machine.
    absent: why the backend cannot run here; then the work and the offers alone are planned.
    remarks: what the backend says of how it was counted.
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
    recipe: Mapping[str, Any] = attrs.field(factory=dict)
    numerics: Mapping[str, str | int] = attrs.field(factory=dict)
    computes: Mapping[str, str | int] = attrs.field(factory=dict)
    absent: str | None = None
    remarks: tuple[str, ...] = ()

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Methods that learn from what they make as they go: their work is not known before."""
        return tuple(stage.method for stage in self.stages if not stage.is_counted)

    @property
    def flops(self) -> float:
        """Of training, but for what is uncounted."""
        return sum(stage.flops for stage in self.stages)

    @property
    def tokens(self) -> float:
        """That are trained on, but for what is uncounted."""
        return sum(stage.tokens[0] for stage in self.stages)

    @property
    def num_bytes(self) -> float:
        return sum(self.memory.values()) if self.held is None else self.held[0]

    @property
    def bytes_between(self) -> tuple[float, float]:
        """Between which they will lie: as runs on this machine have shown, or measured ones did."""
        if self.held is not None:
            return self.held[1:]
        return (1 - _SPREAD) * self.num_bytes, (1 + _SPREAD) * self.num_bytes

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        more = {
            "flops": self.flops,
            "bytes": self.num_bytes,
            "bytes_between": self.bytes_between,
            "uncounted": self.uncounted,
        }
        return {**attrs.asdict(self), **more}


def plan(
    recipe: Recipe | str | os.PathLike[str], offers: Mapping[str, Offer] | None = None
) -> Plan:
    """Plan a recipe, or the one in a file.

    Raises:
        Unsupported: the backend holds no model, or would run in each of several processes.
        OptionError, DataError, ModelError: as training itself would.
    """
    if not isinstance(recipe, Recipe):
        recipe = read_recipe(Path(recipe))
    backend, absent = _settled(recipe)
    if backend.name == "toy":
        raise Unsupported("the toy backend holds no model: there is nothing to plan")
    located = locate(recipe.model, recipe.revision)
    folder = located.path
    shape, renderer = ModelShape.of_folder(folder), ChatRenderer.from_folder(folder)
    adapter = _adapter(recipe.adapter_chosen())
    recipes = [*recipe.before(), recipe]
    given = of_recipe(recipe)
    capabilities = _declared(backend)
    stages = tuple(
        stage_plan(r, g, renderer, shape, adapter, capabilities)
        for r, g in zip(recipes, given, strict=True)
    )
    evaluation = evaluation_work(recipe, given[-1], renderer, shape)
    asked = Asked(shape, adapter, stages, evaluation)
    found = _summed(located.name, backend, absent, asked, offers or {})
    return attrs.evolve(found, recipe=recipe.to_dict())


def _settled(recipe: Recipe) -> tuple[Backend, str | None]:
    """What it would run on; settled, or with the reason why that cannot be here."""
    if recipe.backend != "auto":
        chosen, reason = named(recipe.backend, recipe.backend_options)
        if reason is not None:
            return chosen, reason
    chosen = choose_backend(recipe.backend, recipe.backend_options)
    try:
        return chosen.settled(RunFolder(Path(recipe.to)).numerics(chosen.name)), None
    except (BackendError, Unsupported) as error:
        return chosen, str(error)


def _declared(backend: Backend) -> frozenset[str]:
    """Its capabilities; none where they are those of another one that is not here."""
    try:
        return backend.capabilities()
    except Unsupported:
        return frozenset()


def _adapter(chosen: Adapter | Path) -> Adapter:
    """Of a folder that is gone on with, what its configuration says; all weights without one."""
    if not isinstance(chosen, Path):
        return chosen
    if not (chosen / _PEFT).is_file():
        return Full()
    said = json.loads((chosen / _PEFT).read_text("utf-8"))
    targets = said["target_modules"]
    return LoRA(rank=said["r"], targets=targets if isinstance(targets, str) else tuple(targets))


def _summed(
    model: str,
    backend: Backend,
    absent: str | None,
    asked: Asked,
    offers: Mapping[str, Offer],
) -> Plan:
    here = Here.on(backend, asked) if absent is None else Here.nowhere(backend)
    return Plan(
        model=model,
        backend=backend.name,
        machine=here.machine,
        num_parameters=asked.shape.num_parameters,
        num_trainable=asked.shape.trainable(asked.adapter),
        stages=tuple(asked.stages),
        memory=here.memory,
        available=here.available,
        seconds=here.seconds(asked),
        rate=here.rate,
        evaluation=asked.evaluation,
        evaluation_seconds=here.evaluation_seconds(asked),
        offers=tuple(_estimates(here, asked, offers)),
        advice=None if here.fits else _advice(here, backend, asked),
        held=here.held,
        numerics=backend.numerics() if absent is None else {},
        computes=backend.machine() if absent is None else {},
        absent=absent,
        remarks=tuple(backend.remarks()) if absent is None else (),
    )


def _advice(here: Here, backend: Backend, asked: Asked) -> str:
    def fits(way: Way) -> bool:
        stages = [
            attrs.evolve(stage, largest=min(stage.largest, way.largest)) for stage in asked.stages
        ]
        other = attrs.evolve(asked, adapter=way.adapter, stages=stages)
        return here.fits_with(way.backend, other)

    return advice(Way(backend, asked.adapter, asked.largest), fits)


def _estimates(here: Here, asked: Asked, offers: Mapping[str, Offer]) -> Iterator[Estimate]:
    """Of every offer, and by one for this machine of every backend whose speed is known; of none
    where the work is not known.
    """
    if not asked.is_counted:
        return
    flops = asked.flops + asked.evaluation_flops
    tokens = sum(stage.tokens[0] for stage in asked.stages)
    read = asked.passes * weight_bytes(asked.shape)
    held = least_bytes(asked.shape, asked.adapter, asked.largest)
    for name, offer in offers.items():
        if not offer.is_here:
            yield offer.estimated(name, flops, tokens, held, read)
            continue
        for one in (here, *(Here.on(b, asked) for b in others_at_hand(here.backend))):
            if one.rate is None:
                continue
            training = one.rate.expected(asked.flops)
            # Unless one has been timed, as if it were training: too short, as of the others.
            evaluation = one.evaluation_seconds(asked) or one.rate.expected(asked.evaluation_flops)
            yield offer.taken(f"{name}, {one.backend}", training[0] + evaluation[0], one.fits)
