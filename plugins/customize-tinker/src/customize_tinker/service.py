"""Everything one server holds, and what it does for a tenant. Knows no HTTP.

Lives on the event loop's thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from customize import CustomizeError, DataError, Engine
from customize_tinker import ids
from customize_tinker.base import Base
from customize_tinker.body import Body
from customize_tinker.completions import Stream
from customize_tinker.forms import Forms
from customize_tinker.graphs import read_graph
from customize_tinker.limits import Limits
from customize_tinker.log import Command
from customize_tinker.operations import read
from customize_tinker.outcomes import Outcome, failed, succeeded
from customize_tinker.promises import Promises
from customize_tinker.refusals import Refusal, missing, unreadable
from customize_tinker.samplers import Samplers, Source
from customize_tinker.sampling import AskedSample, SampleRequest, read_sample, sample_together
from customize_tinker.store import Tenant, read_json, write_json
from customize_tinker.trainee import Trainee
from customize_tinker.training import Training, exists
from customize_tinker.worker import Job, Worker

_MAX_JOINED = 128  # rows of a batch of samples
_SILENCE_S = 60.0
_LARGEST_LOSS = 1 << 18  # bytes of one that is traced


@attrs.frozen
class Told:
    """What is answered at once: the id of a result, and of each sample."""

    request_id: str
    model_id: str | None = None
    num_samples: int = 0


@attrs.frozen(eq=False)
class Sampled:
    """A sample that is computed, and whose it is."""

    tenant: str
    id: str
    source: Source
    request: SampleRequest
    cancelled: threading.Event = attrs.field(factory=threading.Event)


class AllCancelled(Exception):
    """Nobody waits for any sample of a batch."""


class Service:
    """Sessions, models, samplers and results, each by its tenant."""

    def __init__(
        self, engine: Engine, base: Base, folder: Path, limits: Limits, forms: Forms
    ) -> None:
        self.base = base
        self.limits = limits
        self.promises = Promises(limits.results_mb << 20, limits.queue)
        self._folder = folder
        self._forms = forms
        self._engine = engine
        self._worker = Worker(_MAX_JOINED)
        self._samplers = Samplers(engine, limits.samplers)
        self._trainings: dict[str, Training] = {}
        self._sampled: dict[tuple[str, str], Job] = {}
        self._heard: dict[tuple[str, str], float] = {}
        self._loop = asyncio.get_running_loop()
        self._worker.start()

    async def close(self) -> None:
        """Finish what is being computed; the rest is in the journals."""
        await asyncio.to_thread(self._worker.stop)

    def tenant(self, name: str) -> Tenant:
        return Tenant(self._folder, name)

    def begin_session(
        self, tenant: Tenant, facts: Mapping[str, object], same: str | None = None
    ) -> str:
        """Its id; what comes again under the name ``same`` gets the one it got."""
        id = ids.new_session_id() if same is None else ids.session_id_of(tenant.name, same)
        write_json(tenant.session_file(id), {**facts, "time_s": time.time()})
        self.hear_of(tenant, id)
        return id

    def check_session(self, tenant: Tenant, session_id: str) -> dict[str, Any]:  # any JSON
        """What its client said of it.

        Raises:
            Refusal: the tenant has no such session.
        """
        found = read_json(tenant.session_file(ids.check_session_id(session_id)))
        if found is None:
            raise missing("such session")
        return found

    def change_session(self, tenant: Tenant, session_id: str, facts: Mapping[str, object]) -> None:
        """Raises Refusal: the tenant has no such session."""
        found = self.check_session(tenant, session_id)
        write_json(tenant.session_file(session_id), {**found, **facts})

    def hear_of(self, tenant: Tenant, session_id: str) -> None:
        """Its client is there."""
        self._heard[tenant.name, session_id] = time.monotonic()

    def is_alive(self, tenant: Tenant, session_id: str) -> bool:
        """Whether its client gave a sign of life of late, which it does every ten seconds."""
        heard_s = self._heard.get((tenant.name, session_id), -_SILENCE_S)
        return time.monotonic() - heard_s < _SILENCE_S

    def finish_session(
        self, tenant: Tenant, session_id: str, finished: Mapping[str, object]
    ) -> None:
        """Let go of what a session kept for itself, after all that it asked for is done.

        What was told of its end first stays.
        """
        if "finished" not in self.check_session(tenant, session_id):
            self.change_session(tenant, session_id, {"finished": finished})
        self._heard.pop((tenant.name, session_id), None)
        forget = partial(self._samplers.forget, tenant, session_id)
        self._worker.submit(Job(tenant.name, lambda _: forget()))

    def command(self, tenant: Tenant, kind: str, body: bytes) -> Told:
        """Take a model's command on; it is done in its turn.

        Raises:
            Refusal, WireError: it cannot be read, or is for no model of the tenant.
        """
        asked = read(kind, body, self.limits)
        training = self._training(tenant, asked.model_id, begins=asked.seq == 0)
        request_id = training.admit(Command(asked.seq, kind, body), asked.operation)
        return Told(request_id, asked.model_id)

    def _training(self, tenant: Tenant, model_id: str, begins: bool) -> Training:
        found = self._trainings.get(model_id)
        if found is not None and found.tenant == tenant.name:
            self._trainings[model_id] = self._trainings.pop(model_id)  # the last to be closed
            return found
        self.check_session(tenant, ids.session_of(model_id))
        folder = tenant.run_folder(model_id)
        if not begins and not exists(folder):
            raise missing(f"model {model_id}")
        self._make_room(tenant)
        shared = self._engine, self.base, self._samplers, self.limits, self._forms
        trainee = Trainee(model_id, tenant, *shared)
        training = Training(trainee, folder, self.promises, self._worker)
        self._trainings[model_id] = training
        return training

    def _make_room(self, tenant: Tenant) -> None:
        """Close the model that was not asked for longest, if one must go."""
        own = [t for t in self._trainings.values() if t.tenant == tenant.name]
        if len(own) < self.limits.models:
            return
        idle = next((training for training in own if training.num_open == 0), None)
        if idle is None:
            raise Refusal(429, f"{self.limits.models} models of this key are at work")
        idle.close()
        del self._trainings[idle.id]

    def check_model(self, tenant: Tenant, model_id: str) -> None:
        """Raises Refusal: the tenant has no such model."""
        self.check_session(tenant, ids.session_of(model_id))
        if not exists(tenant.run_folder(model_id)):
            raise missing(f"model {model_id}")

    def find_lost(self, tenant: Tenant, request_id: str) -> None:
        """Open the model a result belongs to again, after a restart.

        Raises:
            Refusal: the tenant has no such model.
        """
        model_id, _, seq = request_id.rpartition(":")
        if seq.isdecimal() and ":train:" in model_id:
            self.check_model(tenant, model_id)
            self._training(tenant, model_id, begins=False)

    def begin_sampler(self, tenant: Tenant, session_id: str, number: int, source: Source) -> str:
        self.check_session(tenant, session_id)
        id = ids.sampler_id(session_id, number)
        self._samplers.register(tenant, id, source)
        return id

    def sampler(self, tenant: Tenant, sampler_id: str) -> Source:
        """Raises Refusal, CheckpointError: the tenant has none, or what it sampled is gone."""
        return self._samplers.source(tenant, sampler_id)

    def sample(self, tenant: Tenant, data: bytes) -> Told:
        """Take a sample on; one that comes again is done once.

        Raises:
            Refusal: it cannot be read, or names no sampler of the tenant.
        """
        asked = read_sample(data, self.base, self.limits)
        source = self._samplers.source(tenant, asked.sampler_id)
        if not self.promises.knows(tenant.name, asked.id):
            self.promises.check_room(tenant.name)
            stream = Stream.of(tenant.name, asked.sampler_id, asked.seq)
            self.promises.new(tenant.name, asked.id, stream)
            self._submit_sample(tenant, source, asked)
        return Told(asked.id, None, asked.num_samples)

    def create_loss(self, tenant: Tenant, data: bytes) -> Told:
        """Keep a traced loss, once; one that is not allowed is a result that says so.

        Raises:
            Refusal: it cannot be read, or is for no session of the tenant.
        """
        if len(data) > _LARGEST_LOSS:
            raise Refusal(413, f"a custom loss takes at most {_LARGEST_LOSS} bytes")
        body = Body.read(data)
        session_id = body.text("session_id")
        self.check_session(tenant, session_id)
        id = ids.loss_id(session_id, body.integer("custom_loss_seq_id", at_most=10**9))
        if not self.promises.knows(tenant.name, id):
            self.promises.check_room(tenant.name)
            self.promises.new(tenant.name, id)
            self.promises.resolve(tenant.name, id, _kept_loss(body, id, tenant.loss_file(id)))
        return Told(id)

    def join_sampler(self, tenant: Tenant, sampler_id: str) -> int:
        """The number of one more client of a sampler; its first is 0.

        Raises:
            Refusal: the tenant has no such sampler.
        """
        return self._samplers.join(tenant, sampler_id)

    def cancel(self, tenant: Tenant, request_id: str) -> None:
        """Compute a sample no further; it has failed, unless it was done.

        Raises:
            Refusal: the tenant asked for no such sample.
        """
        if ":sample:" not in request_id:
            raise unreadable("samples alone are cancelled: an operation on a model takes its turn")
        if not self.promises.knows(tenant.name, request_id):
            raise missing("such sample")
        if job := self._sampled.get((tenant.name, request_id)):
            self._worker.withdraw(job)
            work: Sampled = job.payload  # type: ignore[assignment]
            work.cancelled.set()
            self._tell_sample(tenant.name, request_id, failed(DataError("it was cancelled")))

    def _tell_sample(self, tenant: str, id: str, outcome: Outcome) -> None:
        self._sampled.pop((tenant, id), None)
        self.promises.resolve(tenant, id, outcome)

    def _submit_sample(self, tenant: Tenant, source: Source, asked: AskedSample) -> None:
        if isinstance(asked.request, Exception):
            self.promises.resolve(tenant.name, asked.id, failed(asked.request))
            return
        joins = source, asked.request.sampling
        work = Sampled(tenant.name, asked.id, source, asked.request)
        job = Job(tenant.name, self._run_samples, joins, work, asked.num_samples)
        self._sampled[tenant.name, asked.id] = job
        self._worker.submit(job)

    def _run_samples(self, jobs: Sequence[Job]) -> None:
        """Runs on the worker's thread."""
        works: list[Sampled] = [job.payload for job in jobs]  # type: ignore[misc]

        def on_token(prompt: int, index: int, token: int) -> None:
            if all(work.cancelled.is_set() for work in works):
                raise AllCancelled

        try:
            snapshot = self._samplers.open(works[0].source)
            outcomes = sample_together(snapshot, [work.request for work in works], on_token)
        except AllCancelled:
            return
        except Exception as error:
            outcomes = [failed(error)] * len(works)
        for work, outcome in zip(works, outcomes, strict=True):
            self._loop.call_soon_threadsafe(self._tell_sample, work.tenant, work.id, outcome)


def _kept_loss(body: Body, id: str, file: Path) -> Outcome:
    """A request that comes again after a restart finds what it made."""
    kept = {name: body.raw(name) for name in ("name", "inputs", "graph")}
    try:
        body.end()
        read_graph(Body(kept))
    except (Refusal, CustomizeError) as refused:
        return failed(refused)
    if not file.exists():
        write_json(file, kept)
    return succeeded({"type": "create_custom_loss", "loss_id": id})
