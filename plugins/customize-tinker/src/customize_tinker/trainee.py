"""One model that is trained: what each operation does to it. Runs on the worker's thread.

Knows neither requests nor clients.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from customize import (
    CheckpointError,
    Engine,
    LoRA,
    Loss,
    ModelError,
    OptionError,
    Session,
    Snapshot,
)
from customize_tinker import ids
from customize_tinker.base import Base
from customize_tinker.body import Body
from customize_tinker.forms import Forms
from customize_tinker.graphs import read_graph
from customize_tinker.limits import Limits
from customize_tinker.losses import (
    CUSTOM,
    Laid,
    columns_for,
    columns_for_traced,
    lay_out,
    loss_of,
)
from customize_tinker.operations import (
    Create,
    Load,
    Operation,
    Save,
    SaveInflight,
    SaveUnnamed,
    Step,
)
from customize_tinker.outcomes import PROTOBUF, Outcome, succeeded
from customize_tinker.refusals import missing
from customize_tinker.requests import ForwardBackward
from customize_tinker.responses import Output, encode_output
from customize_tinker.samplers import Moved, Samplers
from customize_tinker.store import (
    ADAPTER,
    STATE,
    Adapter,
    CheckpointFacts,
    Run,
    Tenant,
    adapter_from,
    read_json,
)
from customize_tinker.traced import Traced

Metadata = Mapping[str, Any] | None  # whatever a client likes to keep
_ALPHA = 32.0  # of the hosted service, whatever the rank


@attrs.define(eq=False)
class Trainee:
    """A session of the engine, and what its adapter was made with."""

    model_id: str
    tenant: Tenant
    engine: Engine
    base: Base
    samplers: Samplers
    limits: Limits
    forms: Forms
    session: Session | None = None
    adapter: Adapter | None = None

    def execute(self, operation: Operation, seq: int) -> Outcome:
        """Do operation ``seq``.

        Raises:
            CustomizeError: it cannot be done; the model is as it was.
        """
        match operation:
            case Create():
                return self._create(operation)
            case Load():
                return self._load(operation)
            case ForwardBackward():
                return self._forward_backward(operation)
            case Step():
                norm = self._trained.optim_step(operation.optimizer).result()
                return succeeded({"metrics": {"grad_norm": norm}})
            case Save():
                return self._save(operation, seq)
            case SaveUnnamed():
                return self._save_unnamed(operation)
            case SaveInflight():
                return self._save_inflight(operation, seq)

    @property
    def _trained(self) -> Session:
        if self.session is None:
            raise ModelError(f"{self.model_id} was not made: its first operation failed")
        return self.session

    @property
    def _made_with(self) -> Adapter:
        assert self.adapter is not None  # it is there where the session is
        return self.adapter

    def _create(self, asked: Create) -> Outcome:
        self.base.check_name(asked.base_model)
        targets = self.base.targets(asked.train_mlp, asked.train_attn)
        adapter = Adapter(asked.base_model, asked.rank, targets, asked.train_mlp, asked.train_attn)
        self._begun(self.engine.open(_lora(adapter), asked.seed), adapter, asked.metadata)
        return succeeded({"type": "create_model", "model_id": self.model_id})

    def _load(self, asked: Load) -> Outcome:
        found = self.tenant.readable(asked.address)
        if asked.optimizer and asked.address.kind != "weights":
            raise CheckpointError(f"{asked.address} has no optimizer: take one of save_state")
        if asked.optimizer:
            session = self.engine.open(_lora(found.adapter))
            session.load(found.folder / STATE)
        else:
            session = self.engine.open(found.folder / ADAPTER)
        self._begun(session, found.adapter, asked.metadata)
        loaded = {"path": str(asked.address), "model_id": self.model_id}
        return succeeded({"type": "load_weights", **loaded})

    def _begun(self, session: Session, adapter: Adapter, metadata: Metadata) -> None:
        self.session, self.adapter = session, adapter
        self.tenant.begin_run(Run(self.model_id, adapter, time.time(), metadata))

    def _forward_backward(self, asked: ForwardBackward) -> Outcome:
        session = self._trained
        loss, laid = self._prepared(asked)
        if asked.forward_only:
            logprobs = session.forward(laid.batch).result()
            value, _ = loss.evaluate(logprobs, laid.batch)
        else:
            done = session.forward_backward(laid.batch, loss).result()
            value, logprobs = done.loss, done.logprobs
        metrics = loss.metrics(logprobs, laid.batch) if isinstance(loss, Traced) else {}
        output = Output(laid.split(logprobs), {"loss:sum": value, **metrics})
        return Outcome(encode_output(output), PROTOBUF)

    def _prepared(self, asked: ForwardBackward) -> tuple[Loss, Laid]:
        most = self.limits.tokens
        if asked.loss != CUSTOM:
            loss = loss_of(asked)
            return loss, lay_out(asked.data, columns_for(asked.loss), most)
        laid = lay_out(asked.data, columns_for_traced, most)
        graph = read_graph(self._graph_of(asked))
        return Traced.of(graph, asked.data), laid

    def _graph_of(self, asked: ForwardBackward) -> Body:
        id = asked.config.get("loss_id")
        if not isinstance(id, str) or asked.config.keys() != {"loss_id"}:
            raise OptionError("the loss 'custom' has one setting, loss_id: see create_custom_loss")
        if ids.session_of_loss(id) != ids.session_of(self.model_id):
            raise missing("such loss in this session")
        kept = read_json(self.tenant.loss_file(id))
        if kept is None:
            raise missing("such loss in this session")
        return Body(kept)

    def _save(self, asked: Save, seq: int) -> Outcome:
        session, exactly = self._trained, asked.address.kind == "weights"

        def fill(folder: Path) -> None:
            if exactly:
                (folder / STATE).mkdir()
                session.save(folder / STATE)
            session.save_weights(folder / ADAPTER)
            if asked.address.kind == "external_weights":
                self.forms.write(asked.address.name, self.base, session.renderer, folder / ADAPTER)

        facts = CheckpointFacts(self._made_with, seq, asked.ttl_s, asked.metadata)
        self.tenant.write_checkpoint(asked.address, facts, fill, asked.overwrite)
        return succeeded({"path": str(asked.address)})

    def _save_unnamed(self, asked: SaveUnnamed) -> Outcome:
        snapshot: Snapshot = self._trained.snapshot()
        self.samplers.keep(self.tenant, asked.sampler_id, self._trained, snapshot, self._made_with)
        return succeeded({"sampling_session_id": asked.sampler_id})

    def _save_inflight(self, asked: SaveInflight, seq: int) -> Outcome:
        session = self._trained
        moved = Moved(self.model_id, seq, session.snapshot(), self._made_with.base_model)
        self.samplers.move(self.tenant, asked.sampler_id, session, moved)
        return succeeded({"sampling_session_id": asked.sampler_id})

    def write_state(self, folder: Path) -> None:
        """All that ``read_state`` needs to go on as if nothing had been."""
        made = None if self.adapter is None else attrs.asdict(self.adapter)
        (folder / "trainee.json").write_text(json.dumps({"adapter": made}), "utf-8")
        if self.session is not None:
            self.session.save(folder)

    def read_state(self, folder: Path) -> None:
        made = (read_json(folder / "trainee.json") or {}).get("adapter")
        if made is None:
            return
        self.adapter = adapter_from(made)
        self.session = self.engine.open(_lora(self.adapter))
        self.session.load(folder)


def _lora(adapter: Adapter) -> LoRA:
    return LoRA(rank=adapter.rank, alpha=_ALPHA, targets=adapter.targets)
