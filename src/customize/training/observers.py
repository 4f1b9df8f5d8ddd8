"""Those who are told of a run, each apart from it and from the others. Knows no tracker."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import attrs

from customize._live_line import say
from customize.interfaces.method import Step
from customize.interfaces.observer import ObservedRun, Observer, Outcome
from customize.plugins import Offer, find, load_offer, observers_for
from customize.plugins.specs import ObserverSpec
from customize.training.checkpoints import Checkpoint
from customize.training.recipe import Recipe

if TYPE_CHECKING:  # made by a later stage, and handed through
    from customize.evaluation import Evaluation

_SLOW_S = 5.0
_SLOW_SHARE = 0.1


class Observers:
    """The observers of one run; as a context they are told at its end how it ended.

    They are those that the recipe names, those that plugins have watch this run, and instances.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        lineage: Mapping[str, Any],
        instances: Sequence[Observer] = (),
    ) -> None:
        # Copies, by which nobody can change the run.
        self._run = ObservedRun(folder, *json.loads(json.dumps([recipe.to_dict(), lineage])))
        self._watching = [
            *_of_plugins(recipe.observers_chosen(), self._run),
            *(_Watching(type(given).__qualname__, given) for given in instances),
        ]
        self._started = False

    def start(self, step: int) -> None:
        """Work begins, after ``step``; that it began anew, since a worker was lost, is not told."""
        self._run = attrs.evolve(self._run, step=step)
        if not self._started:
            self._started = True
            self._tell("on_start", self._run)

    def step(self, number: int, metrics: Mapping[str, float]) -> None:
        self._run = attrs.evolve(self._run, step=number)
        self._tell("on_step", Step(number, dict(metrics)))

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        self._tell("on_checkpoint", checkpoint)

    def evaluation(self, evaluation: Evaluation) -> None:
        self._tell("on_evaluation", evaluation)

    def __enter__(self) -> Observers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._started:
            self._tell("on_finish", _outcome(self._run.step, error))

    def _tell(self, call: str, fact: object) -> None:
        self._watching = [w for w in self._watching if w.tell(call, fact)]


@attrs.define
class _Watching:
    """One observer, named, and the seconds it has taken of the run."""

    name: str
    observer: Observer
    seconds: float = 0.0
    begun: float | None = None

    def tell(self, call: str, fact: object) -> bool:
        """Whether it may be told more."""
        before = time.monotonic()
        with _apart(f"{self.name} failed in {call}"):
            getattr(self.observer, call)(fact)
            self._measure(call, before, time.monotonic())
            return True
        return False

    def _measure(self, call: str, before: float, now: float) -> None:
        """Told once, when it has become a burden; its own start does not count."""
        if call == "on_start":
            self.begun = now
        if self.begun is None:
            return
        self.seconds += now - max(before, self.begun)
        if self.seconds > max(_SLOW_S, _SLOW_SHARE * (now - self.begun)):
            share = f"{self.seconds:.1f} of {now - self.begun:.1f} seconds"
            say(f"the observer {self.name} has taken {share}: the run waits for its observers")
            self.begun = None


def _of_plugins(named: Mapping[str, Mapping[str, Any]], run: ObservedRun) -> list[_Watching]:
    found: dict[str, _Watching] = {}
    for name, options in named.items():
        with _apart(f"{name} cannot be made"):
            offer = find("observer", name)
            found[offer.full_name] = _made(offer, options)
    for offer in _unasked(run):
        with _apart(f"{offer.full_name} cannot be made"):
            if offer.full_name not in found:
                found[offer.full_name] = _made(offer, {})
    return list(found.values())


def _unasked(run: ObservedRun) -> list[Offer]:
    """Those that plugins have watch this run, named or not."""
    offers, wrong = observers_for(run)
    for told in wrong:
        say(f"the plugin {told}. The run goes on without what it did not give")
    return [o for o in offers if isinstance(o.spec, ObserverSpec) and o.spec.always]


def _made(offer: Offer, options: Mapping[str, Any]) -> _Watching:
    return _Watching(offer.full_name, load_offer(offer)(**options))


@contextmanager
def _apart(what: str) -> Iterator[None]:
    """Whatever an observer raises is told and goes no further; Ctrl-C is no observer's."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        cause = f"{type(error).__name__}: {error}"
        say(f"the observer {what}: {cause}. The run goes on without it")


def _outcome(step: int, error: BaseException | None) -> Outcome:
    if error is None:
        return Outcome("finished", step)
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return Outcome("stopped", step)
    return Outcome("failed", step, f"{type(error).__name__}: {error}")
