"""What a tenant has: runs and checkpoints, and what may be done with them.

Trains and samples nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from customize_tinker import ids
from customize_tinker.asking import Answer, Ask, Endpoint, page, told
from customize_tinker.ids import Address
from customize_tinker.refusals import missing, unreadable
from customize_tinker.sessions import PROJECT
from customize_tinker.store import Checkpoint, Run, Tenant

_TYPES = {"weights": "training", "sampler_weights": "sampler", "external_weights": "external"}
# Headers of copy_weights: another account's token, and what names one request that is sent twice.
_ACCESS, _SAME = "x-tinker-weights-access-token", "x-idempotency-key"


async def training_runs(ask: Ask) -> Answer:
    model_ids = ask.tenant.model_ids()
    if project := ask.query.get("project_id"):
        model_ids = [id for id in model_ids if ask.tenant.project_of(id) == project[-1]]
    runs = [run for id in model_ids if (run := ask.tenant.run(id)) is not None]
    shown, cursor = page(ask, runs, 20)
    return told({"training_runs": [_run(ask.tenant, run) for run in shown], "cursor": cursor})


async def training_run(ask: Ask) -> Answer:
    return told(_run(ask.tenant, _find_run(ask)))


async def run_checkpoints(ask: Ask) -> Answer:
    found = ask.tenant.checkpoints(_find_run(ask).model_id)
    return told({"checkpoints": [_checkpoint(one) for one in found]})


async def all_checkpoints(ask: Ask) -> Answer:
    found = [one for id in ask.tenant.model_ids() for one in ask.tenant.checkpoints(id)]
    shown, cursor = page(ask, sorted(found, key=lambda one: -one.time_s), 100)
    return told({"checkpoints": [_checkpoint(one) for one in shown], "cursor": cursor})


async def delete_checkpoint(ask: Ask) -> Answer:
    ask.tenant.delete_checkpoint(_address(ask))
    return told({})


async def change_expiry(ask: Ask) -> Answer:
    body = ask.json()
    ttl = body.maybe_integer("ttl_seconds", at_least=1)
    body.end()
    ask.tenant.change_expiry(_address(ask), ttl)
    return told({})


async def publish(ask: Ask) -> Answer:
    """From now on other tenants may read it."""
    ask.tenant.publish(_address(ask))
    return told({})


async def unpublish(ask: Ask) -> Answer:
    ask.tenant.unpublish(_address(ask))
    return told({})


async def copy_weights(ask: Ask) -> Answer:
    """Of one's own, or of what was published; a session is made for it where none is given."""
    body = ask.json()
    source, ttl = body.text("source_path"), body.maybe_integer("ttl_seconds", at_least=1)
    session_id, number = body.maybe_text("session_id"), body.maybe_integer("model_seq_id")
    project = body.maybe_text("destination_project_id") or PROJECT
    if body.has("weights_access_token") or _ACCESS in ask.headers:
        raise unreadable(f"{_ACCESS} is not followed here: let its owner publish the checkpoint")
    body.end()
    found = ask.tenant.readable(Address.parse(source))
    if session_id is None:
        facts = {"project_id": project}
        session_id = ask.service.begin_session(ask.tenant, facts, ask.headers.get(_SAME))
    else:
        ask.service.check_session(ask.tenant, session_id)
    to = ids.model_id(session_id, number or 0)
    return told({"tinker_path": str(ask.tenant.copy_checkpoint(found, to, ttl))})


async def weights_info(ask: Ask) -> Answer:
    path = ask.json().text("tinker_path")
    adapter = ask.tenant.readable(Address.parse(path)).adapter
    return told(
        {
            "base_model": adapter.base_model,
            "is_lora": True,
            "lora_rank": adapter.rank,
            "train_unembed": False,
            "train_mlp": adapter.train_mlp,
            "train_attn": adapter.train_attn,
        }
    )


def _find_run(ask: Ask) -> Run:
    ids.session_of(ask.groups[0])
    run = ask.tenant.run(ask.groups[0])
    if run is None:
        raise missing("such training run")
    return run


def _address(ask: Ask) -> Address:
    id, checkpoint = ask.groups
    return Address.parse(f"tinker://{id}/{checkpoint}")


def _run(tenant: Tenant, run: Run) -> dict[str, Any]:
    newest = {one.address.kind: one for one in tenant.checkpoints(run.model_id)}
    value = {
        "training_run_id": run.model_id,
        "base_model": run.adapter.base_model,
        "model_owner": tenant.name,
        "is_lora": True,
        "lora_rank": run.adapter.rank,
        "last_request_time": _time(tenant.last_asked_s(run)),
        "user_metadata": run.metadata,
    }
    if "weights" in newest:
        value["last_checkpoint"] = _checkpoint(newest["weights"])
    if "sampler_weights" in newest:
        value["last_sampler_checkpoint"] = _checkpoint(newest["sampler_weights"])
    return value


def _checkpoint(found: Checkpoint) -> dict[str, Any]:
    return {
        "checkpoint_id": f"{found.address.kind}/{found.address.name}",
        "checkpoint_type": _TYPES[found.address.kind],
        "time": _time(found.time_s),
        "tinker_path": str(found.address),
        "size_bytes": found.size_bytes,
        "public": found.is_public,
        "user_metadata": found.metadata,
        "expires_at": None if found.expires_s is None else _time(found.expires_s),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


_RUN, _CHECKPOINT = "/training_runs/([^/]+)", "/training_runs/([^/]+)/checkpoints/([^/]+/[^/]+)"
LISTINGS = (
    Endpoint("GET", "/training_runs", training_runs),
    Endpoint("GET", _RUN, training_run),
    Endpoint("GET", f"{_RUN}/checkpoints", run_checkpoints),
    Endpoint("DELETE", _CHECKPOINT, delete_checkpoint),
    Endpoint("PUT", f"{_CHECKPOINT}/ttl", change_expiry),
    Endpoint("POST", f"{_CHECKPOINT}/publish", publish),
    Endpoint("DELETE", f"{_CHECKPOINT}/publish", unpublish),
    Endpoint("POST", "/copy_weights", copy_weights),
    Endpoint("GET", "/checkpoints", all_checkpoints),
    Endpoint("POST", "/weights_info", weights_info),
)
