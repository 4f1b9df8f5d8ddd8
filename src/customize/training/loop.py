"""The loop around a method: log, measure, save, stop. Knows checkpoints, and no algorithm."""

from __future__ import annotations

import json
import math
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import attrs

from customize._errors import EpisodesFailed, NonFiniteError, OutOfMemoryError, RunError
from customize._files import replace_text, sync, writing
from customize._live_line import say
from customize.interfaces.dataset import Dataset
from customize.interfaces.method import Method, Step
from customize.interfaces.session import Session
from customize.training import checkpoints, sealed
from customize.training.not_finite import TolerantSession, finite
from customize.training.observers import Observers
from customize.training.progress import Progress
from customize.training.state import read_step, write_step

METRICS = "metrics.jsonl"


@attrs.frozen(kw_only=True)
class Loop:
    """What a run does besides its method. ``folder`` is the run's."""

    folder: Path
    observers: Observers
    checkpoint_every: int
    evaluate_every: int = 0
    keep_best: bool = False
    patience: int = 0
    skip_not_finite: int = 0
    facts: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def best(self) -> Path:
        """Where the weights that did best on the held-out rows are kept."""
        return self.folder / "best"

    def run(
        self, method: Method, session: Session, data: Dataset, held_out: Dataset | None = None
    ) -> Step:
        """Train to the end, going on from the newest whole checkpoint; returns the last step.

        Raises:
            NonFiniteError: a step's numbers are not finite, and it may not be left out; the last
                good checkpoint is named.
            OutOfMemoryError, EpisodesFailed: a step does not fit, or too many of its episodes
                failed, and the step before it is saved, unless this one has moved weights
                already; or its measure's, and it is saved too.
            RunError: the folder cannot be written; what was saved before is whole.
            KeyboardInterrupt: Ctrl-C, after the step was finished and saved.
            SystemExit: SIGTERM or SIGHUP, the same, with code 143 or 129.
        """
        resume, record = self._resume(method, session)
        self.observers.start(resume.number if resume else 0)
        if resume is not None and self._exhausted(record):
            return resume  # it had stopped early and was killed before it said so
        total = method.num_steps(data)
        progress = Progress(total, resume.number if resume else 0)
        last = saved = resume
        session = TolerantSession(session, self.skip_not_finite, record.left_out)
        with _signals() as signals:
            for step in self._steps(method, session, data, resume, record):
                if session.left_out > record.left_out:
                    step = attrs.evolve(step, metrics=finite(step.metrics))
                    progress.say(self._left_out(step.number, session))
                record.left_out = session.left_out
                metrics = {**step.logged, **record.counted()}
                self._check(step.number, metrics)
                try:
                    metrics.update(
                        self._measure(method, session, held_out, step.number, total, record)
                    )
                except (OutOfMemoryError, EpisodesFailed) as error:
                    self._save_unmeasured(session, step, metrics, record)
                    raise type(error)(f"{error}\n{self._last_good()}") from error
                self._log(step.number, metrics)
                self._keep(step)
                self.observers.step(step.number, metrics)
                progress.step(step.number, metrics)
                last = step
                stop = signals.received or self._exhausted(record)
                if stop or step.number % self.checkpoint_every == 0 or step.number == total:
                    self._save(session, step, record)
                    saved = step
                if signals.received:
                    self._leave(signals.received, step, progress)
                if stop:
                    progress.say(f"no better measure for {self.patience}: stopped early")
                    break
        if last is None:
            raise RunError("the method took no step: nothing was trained")
        if saved is not last:
            self._save(session, last, record)
        if record.left_out:
            progress.say(
                f"{record.left_out} of {last.number} steps were left out: their numbers were not "
                "finite"
            )
        return attrs.evolve(last, metrics={**last.metrics, **record.counted()})

    def _left_out(self, number: int, session: TolerantSession) -> str:
        told = f"{session.left_out} of at most {self.skip_not_finite}"
        return f"step {number} is left out, {told}: {session.why}"

    def _steps(
        self,
        method: Method,
        session: TolerantSession,
        data: Dataset,
        resume: Step | None,
        record: _Record,
    ) -> Iterator[Step]:
        last = resume
        try:
            for step in method.train(session, data, resume):
                last = step
                session.step_is_done()
                yield step
        except OutOfMemoryError as error:
            raise OutOfMemoryError(f"{error}; {self._kept(session, last, record)}") from error
        except NonFiniteError as error:
            told = f"{error}; {self._last_good()}, and {record.left_out} steps were left out"
            raise NonFiniteError(f"{told}: a higher skip_not_finite leaves this one out") from error
        except EpisodesFailed as error:
            raise EpisodesFailed(f"{error}\n{self._kept(session, last, record)}") from error

    def _kept(self, session: TolerantSession, last: Step | None, record: _Record) -> str:
        """Save the last step, where the session is as that left it; what is saved, in words."""
        if not session.is_between_steps:
            number = 1 if last is None else last.number + 1
            return f"step {number} was taken in part, and is not saved; {self._last_good()}"
        if last is not None and self._newest() < last.number:
            self._save(session, last, record)
        return self._last_good()

    def _check(self, number: int, metrics: Mapping[str, float]) -> None:
        wrong = [k for k, v in metrics.items() if not math.isfinite(v)]
        if wrong:
            told = f"step {number}: {', '.join(wrong)} is not finite"
            raise NonFiniteError(f"{told}; {self._last_good()}")

    def _newest(self) -> int:
        good = checkpoints.latest(self.checkpoints, lambda text: None)
        return good.step if good else 0

    def _last_good(self) -> str:
        good = checkpoints.latest(self.checkpoints, lambda text: None)
        return f"the last good checkpoint is {good.folder}" if good else "no step was saved"

    def _resume(self, method: Method, session: Session) -> tuple[Step | None, _Record]:
        found = checkpoints.latest(self.checkpoints, say)
        with writing(str(self.folder)):
            checkpoints.set_aside(self.checkpoints, found.step if found else -1)
            if found is None:
                (self.folder / METRICS).unlink(missing_ok=True)
                for name in method.records:
                    (self.folder / f"{name}.jsonl").unlink(missing_ok=True)
        if found is None:
            if any(self.checkpoints.glob("damaged-*")):
                say("no checkpoint is whole: the run begins anew")
            return None, _Record()
        session.load(found.folder / "session")
        step = read_step(found.folder)
        self._truncate_log(step.number)
        for name in method.records:
            self._truncate_records(name, step.number)
        return step, _Record(**sealed.facts_of(found.folder)["record"])

    def _truncate_log(self, number: int) -> None:
        """What was logged after the checkpoint will be logged again."""
        file = self.folder / METRICS
        lines = file.read_text("utf-8", "replace").splitlines() if file.is_file() else []
        kept = [line for line in lines if _step_of(line) <= number]
        if len(kept) < number:
            say(f"{file} is damaged: {number - len(kept)} of {number} steps are missing from it")
        replace_text(file, "".join(f"{line}\n" for line in kept))

    def _truncate_records(self, name: str, number: int) -> None:
        file = self.folder / f"{name}.jsonl"
        if not file.is_file():
            return
        with file.open(encoding="utf-8", errors="replace") as lines:
            kept = "".join(line for line in lines if _step_of(line) <= number)
        replace_text(file, kept)

    def _keep(self, step: Step) -> None:
        for name, rows in step.records.items():
            file = self.folder / f"{name}.jsonl"
            told = "".join(json.dumps({"step": step.number, **row}) + "\n" for row in rows)
            with writing(str(file)), file.open("a", encoding="utf-8") as stream:
                stream.write(told)

    def _log(self, number: int, metrics: Mapping[str, float]) -> None:
        file = self.folder / METRICS
        with writing(str(file)), file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": number, **metrics}) + "\n")

    def _measure(
        self,
        method: Method,
        session: Session,
        held_out: Dataset | None,
        number: int,
        total: int,
        record: _Record,
    ) -> Mapping[str, float]:
        due = self.evaluate_every and (number % self.evaluate_every == 0 or number == total)
        if not due or held_out is None:
            return {}
        metrics = method.validate(session, held_out)
        self._check(number, metrics)
        if record.better(next(iter(metrics.values()))) and self.keep_best:
            with writing(str(self.best)):
                sealed.write(self.best, session.save_weights, {"step": number})
        return metrics

    def _save_unmeasured(
        self, session: Session, step: Step, metrics: Mapping[str, float], record: _Record
    ) -> None:
        """The step itself is whole, and those before it with it."""
        self._log(step.number, metrics)
        self._keep(step)
        self._save(session, step, record)

    def _exhausted(self, record: _Record) -> bool:
        return bool(self.patience) and record.since_best >= self.patience

    def _save(self, session: Session, step: Step, record: _Record) -> None:
        def fill(folder: Path) -> None:
            (folder / "session").mkdir()
            session.save(folder / "session")
            write_step(folder, step)

        with writing(str(self.folder / METRICS)):  # or the log could end before the checkpoint
            sync(self.folder / METRICS)
            sync(self.folder)
        facts = {**self.facts, "step": step.number, "record": attrs.asdict(record)}
        self.observers.checkpoint(checkpoints.write(self.checkpoints, step.number, fill, facts))

    def _leave(self, number: int, step: Step, progress: Progress) -> None:
        progress.say(f"stopped after step {step.number}, saved: the same command goes on from here")
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)


@attrs.define
class _Record:
    """The best measure so far, how many there were since, and steps that were left out."""

    best: float | None = None
    since_best: int = 0
    left_out: int = 0

    def counted(self) -> Mapping[str, float]:
        """``left_out`` as a metric, from the first on."""
        return {"left_out": float(self.left_out)} if self.left_out else {}

    def better(self, value: float) -> bool:
        if self.best is None or value < self.best:
            self.best, self.since_best = value, 0
            return True
        self.since_best += 1
        return False


class _Signals:
    """The first signal is noted; the second ends the process as it always did."""

    received: int = 0

    def note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        signal.signal(number, self._before[number])

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}  # signal handlers, as signal types them

    def listen(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, *_hang_up()):
                self._before[number] = signal.signal(number, self.note)

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _hang_up() -> list[signal.Signals]:
    """SIGHUP where the system has it, and where nobody asked by ``nohup`` to ignore it."""
    number = getattr(signal, "SIGHUP", None)
    return [] if number is None or signal.getsignal(number) == signal.SIG_IGN else [number]


@contextmanager
def _signals() -> Iterator[_Signals]:
    signals = _Signals()
    signals.listen()
    try:
        yield signals
    finally:
        signals.restore()


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf  # a line cut off by a kill
