"""Backends that break one rule each; those of sampling are beside."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from lying import Lying, LyingEngine
from sampling_liars import Told, each

from customize import (
    AdamW,
    Adapter,
    Answering,
    Backend,
    Batch,
    Completion,
    Done,
    Engine,
    Handle,
    Loss,
    LossOutput,
    Message,
    ModelFolder,
    OnToken,
    Prompt,
    Query,
    Runtime,
    Said,
    Sampling,
    Session,
    Smaller,
    Snapshot,
    option,
    options,
)
from customize.testing import ToyBackend, ToyRenderer
from customize.testing.toy import ToyEngine, ToySession, ToySnapshot


class Doubles(ToySnapshot):
    def forward(self, batch: Batch) -> Handle[Any]:
        return Done(self.logprobs(batch).astype(np.float64))


class Shifted(ToySnapshot):
    def distributions(self, tokens: Any, start: int) -> Any:
        return np.roll(super().distributions(tokens, start), 1, axis=0)


class Unnormalised(ToySnapshot):
    def logprobs(self, batch: Batch) -> Any:
        return super().logprobs(batch) - np.float32(0.1) * batch.scored

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Told:
        return each(super().sample(prompts, sampling, on_token), _lowered)


def _lowered(c: Completion) -> Completion:
    given = c.prompt_logprobs
    if given is not None:
        given = np.append(given[:1], given[1:] - np.float32(0.1))
    return attrs.evolve(c, logprobs=c.logprobs - np.float32(0.1), prompt_logprobs=given)


class SeesCompany(LyingEngine):
    """Its base scores a sequence otherwise when it is alone."""

    def base(self) -> Snapshot:
        class Base(ToySnapshot):
            def logprobs(self, batch: Batch) -> Any:
                alone = np.float32(0.01 * (batch.num_sequences == 1))
                return super().logprobs(batch) - alone * batch.scored

        return Base(self, self.table_VV)


class WrongSign(ToySession):
    def forward_backward(self, batch: Batch, loss: Loss) -> Handle[LossOutput]:
        before, self._pending = self._pending, None
        out = super().forward_backward(batch, loss)
        assert self._pending is not None
        self._pending = -self._pending if before is None else before - self._pending
        return out


class KeepsWhatWasClipped(ToySession):
    """What clipping took off is applied with the next step."""

    def optim_step(self, optimizer: AdamW) -> Handle[float]:
        pending = self._pending
        told = super().optim_step(optimizer)
        limit = optimizer.max_grad_norm
        if pending is not None and limit and np.isfinite(pending).all():
            norm = float(np.linalg.norm(pending))
            self._pending = pending * (1 - limit / norm) if norm > limit else None
        return told


class ScoresEverything(ToySnapshot):
    def logprobs(self, batch: Batch) -> Any:
        return super().logprobs(batch.with_columns(weights=np.ones(batch.num_tokens)))


class CutsGroups(ToySession):
    """A group of more than 40 tokens is cut into its sequences, whatever the loss couples."""

    def forward_backward(self, batch: Batch, loss: Loss) -> Handle[LossOutput]:
        if loss.couples != "group" or batch.num_tokens <= 40 * len(np.unique(batch.groups)):
            return super().forward_backward(batch, loss)
        parts = [batch.take([s]) for s in range(batch.num_sequences)]
        outs = [super(CutsGroups, self).forward_backward(part, loss).result() for part in parts]
        logprobs = np.concatenate([out.logprobs for out in outs])
        return Done(LossOutput(sum(out.loss for out in outs), logprobs))


@attrs.frozen
class Halved:
    """Another loss with half its gradient."""

    loss: Loss
    couples = "batch"

    def evaluate(self, logprobs: Any, batch: Batch) -> tuple[float, Any]:
        value, gradient = self.loss.evaluate(logprobs, batch)
        return value, gradient / 2


class HalvesSurrogates(ToySession):
    def forward_backward(self, batch: Batch, loss: Loss) -> Handle[LossOutput]:
        halved: Any = Halved(loss) if loss.couples == "batch" else loss
        return super().forward_backward(batch, halved)


class TellsTheMean(ToySession):
    def forward_backward(self, batch: Batch, loss: Loss) -> Handle[LossOutput]:
        out = super().forward_backward(batch, loss).result()
        return Done(LossOutput(out.loss / batch.num_sequences, out.logprobs))


class DecaysAtRateZero(ToySession):
    def _adamw(self, gradient: Any, o: AdamW) -> None:
        super()._adamw(gradient, o)
        if o.lr == 0:
            self._delta = self._delta * (1 - 0.01 * o.weight_decay)


class Uncorrected(ToySession):
    """Its moments are not corrected for their start at 0."""

    def _adamw(self, gradient: Any, o: AdamW) -> None:
        steps, self._steps = self._steps, 10**6
        super()._adamw(gradient, o)
        self._steps = steps + 1


class NeverClips(ToySession):
    def optim_step(self, optimizer: AdamW) -> Handle[float]:
        return super().optim_step(attrs.evolve(optimizer, max_grad_norm=0.0))  # type: ignore[misc]


class NeverDecays(ToySession):
    def optim_step(self, optimizer: AdamW) -> Handle[float]:
        return super().optim_step(attrs.evolve(optimizer, weight_decay=0.0))  # type: ignore[misc]


class CountsRefusedSteps(ToySession):
    def optim_step(self, optimizer: AdamW) -> Handle[float]:
        if self._pending is not None and not np.isfinite(self._pending).all():
            self._steps += 1
        return super().optim_step(optimizer)


class MovingSnapshot(ToySession):
    def snapshot(self, name: str | None = None) -> Snapshot:
        return super().snapshot(name) if name is not None else self


class AnyName(ToySession):
    """A name that no snapshot has is taken for the present."""

    def named_snapshot(self, name: str) -> Snapshot:
        return super().named_snapshot(name) if name in self._named else self._now()


class BaseIsItself(ToySession):
    def base(self) -> Snapshot:
        return self._now()


class BeginsWithNoise(ToySession):
    def __init__(self, engine: ToyEngine, seed: int) -> None:
        super().__init__(engine, seed)
        self._delta = np.random.default_rng(seed).normal(0, 0.01, self._delta.shape)


class MovesTheOneBefore(LyingEngine):
    """A session of another seed disturbs the one that was opened before it."""

    before: ToySession | None = None

    def new_session(self, seed: int) -> ToySession:
        if self.before is not None and self.before.seed != seed:
            self.before._delta = self.before._delta + np.eye(*self.before._delta.shape)
        self.before = super().new_session(seed)
        return self.before


class ForgetsMoments(ToySession):
    def load(self, folder: Path) -> None:
        super().load(folder)
        self._mean = np.zeros_like(self._mean)


class ForgetsSnapshots(ToySession):
    def load(self, folder: Path) -> None:
        super().load(folder)
        self._named = {}


class ToleratesDamage(ToySession):
    """Without its tensors a save is taken for one of a new session."""

    def load(self, folder: Path) -> None:
        if (folder / "state.safetensors").exists() or not (folder / "state.json").exists():
            super().load(folder)


class ClearsFirst(ToySession):
    def load(self, folder: Path) -> None:
        self._delta = np.zeros_like(self._delta)
        super().load(folder)


class RoundsWeights(ToySession):
    def save_weights(self, folder: Path) -> None:
        exact, self._delta = self._delta, self._delta.astype(np.float16).astype(np.float64)
        super().save_weights(folder)
        self._delta = exact


class OpensAnything(LyingEngine):
    """A folder without weights is a new session."""

    def open(self, adapter: Adapter | Path, seed: int = 0) -> Session:
        if isinstance(adapter, Path) and not any(adapter.iterdir()):
            return self.new_session(seed)
        return super().open(adapter, seed)


class HasABaseAllTheSame(ToySession):
    def base(self) -> Snapshot:
        return self._engine.base()


class DeclaresMore(LyingEngine):
    def __init__(self, capabilities: frozenset[str]) -> None:
        super().__init__(capabilities | {"module"})


class DeclaresNoDtype(LyingEngine):
    dtype = "fast"


class RendersOtherwise(ToySession):
    def __init__(self, engine: ToyEngine, seed: int) -> None:
        super().__init__(engine, seed)
        self.renderer = Shouting()


class Shouting(ToyRenderer):
    def prompt(self, messages: Sequence[Message], *beside: Any) -> Any:
        return super().prompt([{**m, "content": m["content"].upper()} for m in messages])


class Crashes(ToySnapshot):
    """A token it does not know is an IndexError."""

    def logprobs(self, batch: Batch) -> Any:
        if batch.tokens.max() >= 256:
            raise IndexError("index out of range")
        return super().logprobs(batch)


class ChoosesAnew(Lying):
    """Whatever was chosen before, it takes the next."""

    def __init__(self, choice: int = 0) -> None:
        super().__init__()
        self.choice = choice

    def settled(self, kept: Mapping[str, object]) -> Backend:
        return ChoosesAnew(self.choice + 1 + len(kept))

    def numerics(self) -> Mapping[str, str | int]:
        return {"choice": self.choice}


class ShiftedEngine(LyingEngine):
    """Its table is of this much more."""

    shift = 0.0

    def snapshot_of(self, table_VV: Any) -> ToySnapshot:
        shifted: Any = table_VV + self.shift * np.eye(*table_VV.shape)
        return super().snapshot_of(shifted)


class SettlesInSilence(Lying):
    """Each time it settles on other numbers, and says nothing of it."""

    settlings = 0

    def settled(self, kept: Mapping[str, object]) -> Backend:
        self.settlings += 1
        engine = type("Shifted", (ShiftedEngine,), {"shift": 0.01 * self.settlings})
        return Lying(engine=engine)


def heavy_probe(folder: Path) -> Backend:
    """A backend whose probe imports torch; a module of that name is put on the path."""
    (folder / "torch.py").write_text("")
    (folder / "heavy_probe.py").write_text(
        "from customize.testing import ToyBackend\n"
        "class Heavy(ToyBackend):\n"
        "    def probe(self):\n"
        "        import torch\n"
    )
    sys.path.insert(0, str(folder))
    try:
        import heavy_probe  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(folder))
    made: Backend = heavy_probe.Heavy()
    return made


def unreadable_to_peft() -> Backend:
    """The cpu backend, its adapters' tensors under names that PEFT does not know."""
    from customize_torch.backend import CPU
    from customize_torch.session import TorchSession

    class Misnames(TorchSession):
        def save_weights(self, folder: Path) -> None:
            from safetensors.numpy import load_file, save_file

            super().save_weights(folder)
            file = folder / "adapter_model.safetensors"
            if file.exists():
                tensors = load_file(file)
                named = {k.removeprefix("base_model.model."): t for k, t in tensors.items()}
                save_file(named, file, metadata={"format": "pt"})

    class Careless(CPU):
        def load(self, model: ModelFolder) -> Engine:
            engine = super().load(model)
            opened = engine.open

            def open_(adapter: Adapter | Path, seed: int = 0) -> Session:
                session = opened(adapter, seed)
                session.__class__ = Misnames
                return session

            engine.open = open_  # type: ignore[method-assign]
            return engine

    return Careless(dtype="float32")


class TrainsWhatIsBelow(ToySession):
    def lay_on(self, folder: Path) -> None:
        self.load_weights(folder)


# What lies in ``forward`` alone would be found out beside it too.
MORE = ("distributions",)


class Tables(Runtime):
    """Answers by one table of the toy's, whatever adapter is asked for."""

    context, slots = 512, 1

    def __init__(self, engine: ToyEngine, adapters: Mapping[str, Path]) -> None:
        self.renderer, self.adapters = engine.renderer, tuple(adapters)
        self.table_VV = engine.table_VV

    @classmethod
    def open(
        cls, folder: Path, adapters: Mapping[str, Path] = {}, base: Path | None = None
    ) -> Runtime:
        raise NotImplementedError

    def stream(self, query: Query, cancelled: threading.Event | None = None) -> Iterator[Said]:
        answering = Answering(query, self.renderer, self.context)
        last = int(query.tokens[-1])
        while not answering.over:
            said = answering.draw(self.table_VV[last])
            last = said.token
            yield said

    def logprobs(self, tokens: Any, start: int, adapter: str | None = None) -> Any:
        raise NotImplementedError


class ServesTheBase(LyingEngine):
    def runtime(self, adapters: Mapping[str, Path]) -> Runtime:
        return Tables(self, adapters)


class Serves(Lying):
    def capabilities(self) -> frozenset[str]:
        return super().capabilities() | {"serve"}


@options
class NamesTheSameForEver(Backend):
    """An honest one but that it would always have its budget lowered."""

    name = "toy"
    budget: int = option(default=8, help="What it never spends.", at_least=1)

    def probe(self) -> str | None:
        return None

    def capabilities(self) -> frozenset[str]:
        return ToyBackend().capabilities()

    def smaller(self, largest: int) -> Sequence[Smaller]:
        return [Smaller("budget", 1, "nothing")]

    def load(self, model: ModelFolder) -> Engine:
        return ToyBackend().load(model)


LIARS: dict[str, Callable[[], Backend]] = {
    "check_logprobs_are_log_probabilities": lambda: Lying(snapshot=Doubles),
    "check_distributions_are_those_of_forward": lambda: Lying(snapshot=Shifted),
    "check_probabilities_sum_to_one": lambda: Lying(snapshot=Unnormalised, without=MORE),
    "check_sequences_do_not_see_each_other": lambda: Lying(engine=SeesCompany, without=MORE),
    "check_gradient_is_that_of_the_loss": lambda: Lying(session=WrongSign),
    "check_gradients_add": lambda: Lying(session=KeepsWhatWasClipped),
    "check_zero_weight_is_ignored": lambda: Lying(snapshot=ScoresEverything),
    "check_cuts_change_nothing": lambda: Lying(session=CutsGroups),
    "check_loss_routes_agree": lambda: Lying(session=HalvesSurrogates),
    "check_loss_is_told_as_it_is": lambda: Lying(session=TellsTheMean),
    "check_rate_zero_changes_nothing": lambda: Lying(session=DecaysAtRateZero),
    "check_steps_are_adamws": lambda: Lying(session=Uncorrected),
    "check_clipping_is_by_norm": lambda: Lying(session=NeverClips),
    "check_weight_decay_is_decoupled": lambda: Lying(session=NeverDecays),
    "check_non_finite_gradient_is_refused": lambda: Lying(session=CountsRefusedSteps),
    "check_snapshot_does_not_move": lambda: Lying(session=MovingSnapshot),
    "check_unknown_snapshot_is_refused": lambda: Lying(session=AnyName),
    "check_base_is_the_base": lambda: Lying(session=BaseIsItself),
    "check_new_adapter_is_the_base": lambda: Lying(session=BeginsWithNoise),
    "check_sessions_do_not_meet": lambda: Lying(engine=MovesTheOneBefore),
    "check_saved_session_goes_on_exactly": lambda: Lying(session=ForgetsMoments),
    "check_named_snapshots_are_saved": lambda: Lying(session=ForgetsSnapshots),
    "check_missing_part_is_named": lambda: Lying(session=ToleratesDamage),
    "check_a_failed_load_changes_nothing": lambda: Lying(session=ClearsFirst),
    "check_saved_weights_open_again": lambda: Lying(session=RoundsWeights),
    "check_an_adapter_stands_on_another": lambda: Lying(session=TrainsWhatIsBelow),
    "check_no_weights_are_refused": lambda: Lying(engine=OpensAnything),
    "check_undeclared_raises_unsupported": lambda: Lying(
        session=HasABaseAllTheSame, without={"base"}
    ),
    "check_capabilities_agree": lambda: Lying(engine=DeclaresMore),
    "check_dtype_is_declared": lambda: Lying(engine=DeclaresNoDtype),
    "check_choices_are_made_once": ChoosesAnew,
    "check_numerics_decide_the_bits": SettlesInSilence,
    "check_what_is_smaller_can_be_set": NamesTheSameForEver,
    "check_session_has_a_renderer": lambda: Lying(session=RendersOtherwise),
    "check_served_answers_are_the_sessions": lambda: Serves(engine=ServesTheBase),
    "check_errors_are_ours": lambda: Lying(snapshot=Crashes),
}
