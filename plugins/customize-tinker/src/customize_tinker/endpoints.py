"""Every endpoint, and what those answer that train and sample. Knows no ASGI."""

from __future__ import annotations

import json
from typing import Any

from customize_tinker import ids
from customize_tinker.asking import Answer, Ask, Endpoint, Handler, told
from customize_tinker.downloads import DOWNLOADS
from customize_tinker.listing import LISTINGS
from customize_tinker.refusals import Refusal, missing, unreadable
from customize_tinker.samplers import Source
from customize_tinker.service import Told

_LONG_POLL_S = 35.0  # the official client gives up at 45
_UNEMBED = (
    "adapters here are on the linear layers of attention and MLP: train_unembed is not followed"
)


async def healthz(ask: Ask) -> Answer:
    return told({"status": "ok"})


async def capabilities(ask: Ask) -> Answer:
    base = ask.service.base
    facts = {"max_context_length": base.context, "trainable": True, "sampleable": True}
    return told({"supported_models": [{"model_name": name, **facts} for name in base.names]})


async def flags(ask: Ask) -> Answer:
    """How clients should behave: as they do by themselves."""
    return told({})


async def create_session(ask: Ask) -> Answer:
    body = ask.json()
    tags = body.raw("tags") or []
    if not isinstance(tags, list) or len(json.dumps(tags)) > 65536:
        raise unreadable("tags must be a list of at most 64 KiB")
    facts = {
        "tags": tags,
        "metadata": body.labels("user_metadata"),
        "display_name": body.maybe_text("display_name"),
        "sdk_version": body.maybe_text("sdk_version"),
    }
    body.ignore("project_id")
    body.end()
    id = ask.service.begin_session(ask.tenant, facts)
    return told({"type": "create_session", "session_id": id, "info_message": _UNEMBED})


async def heartbeat(ask: Ask) -> Answer:
    ask.service.check_session(ask.tenant, ask.json().text("session_id"))
    return told({"type": "session_heartbeat"})


async def finish_session(ask: Ask) -> Answer:
    ask.service.finish_session(ask.tenant, ask.groups[0])
    return told({"type": "finish_session"})


async def telemetry(ask: Ask) -> Answer:
    """Thrown away."""
    return told({"status": "accepted"})


def _command(kind: str) -> Handler:
    async def take_on(ask: Ask) -> Answer:
        return await _promised(ask, ask.service.command(ask.tenant, kind, ask.body))

    return take_on


async def sample(ask: Ask) -> Answer:
    return await _promised(ask, ask.service.sample(ask.tenant, ask.body))


async def _promised(ask: Ask, promised: Told) -> Answer:
    if ask.waits:
        return await _result(ask, promised.request_id)
    value: dict[str, Any] = {"request_id": promised.request_id}
    if promised.model_id is not None:
        value["model_id"] = promised.model_id
    if promised.num_samples:
        numbered = range(promised.num_samples)
        value["sample_sequence_ids"] = [f"{promised.request_id}:{n}" for n in numbered]
    return told(value)


async def retrieve_future(ask: Ask) -> Answer:
    body = ask.json()
    id = body.text("request_id")
    body.ignore("allow_metadata_only")  # results are small enough to be told at once
    if not ask.service.promises.knows(ask.tenant.name, id):
        ask.service.find_lost(ask.tenant, id)
    return await _result(ask, id)


async def _result(ask: Ask, id: str) -> Answer:
    try:
        outcome = await ask.service.promises.wait(ask.tenant.name, id, _LONG_POLL_S)
    except KeyError:
        raise Refusal(410, "this result is gone: ask for the operation again") from None
    if outcome is None:
        again = {"type": "try_again", "queue_state": "active", "request_id": id}
        return Answer(408, json.dumps(again).encode())
    return Answer(200, outcome.body, outcome.media)


async def create_sampler(ask: Ask) -> Answer:
    body = ask.json()
    session_id, number = body.text("session_id"), body.integer("sampling_session_seq_id")
    base_model, path = body.maybe_text("base_model"), body.maybe_text("model_path")
    body.end()
    if path is None:
        ask.service.base.check_name(base_model or "")
        source = Source(base_model or "")
    else:
        found = ask.tenant.checkpoint(ids.Address.parse(path))
        source = Source(base_model or found.adapter.base_model, path)
    id = ask.service.begin_sampler(ask.tenant, session_id, number, source)
    return told({"type": "create_sampling_session", "sampling_session_id": id})


async def get_sampler(ask: Ask) -> Answer:
    source = ask.service.sampler(ask.tenant, ask.groups[0])
    value = {"sampler_id": ask.groups[0], "base_model": source.base_model}
    if source.model_path is not None:
        value["model_path"] = source.model_path
    return told(value)


async def get_info(ask: Ask) -> Answer:
    id = ask.json().text("model_id")
    ask.service.check_model(ask.tenant, id)
    run = ask.tenant.run(id)
    if run is None:
        raise missing(f"model {id}")
    base = ask.service.base
    data = {
        "arch": base.architecture,
        "model_name": run.adapter.base_model,
        "tokenizer_id": base.tokenizer_id,
    }
    return told(
        {
            "type": "get_info",
            "model_id": id,
            "model_data": data,
            "is_lora": True,
            "lora_rank": run.adapter.rank,
            "model_name": run.adapter.base_model,
        }
    )


_COMMANDS = (
    "create_model",
    "load_weights",
    "forward_backward",
    "optim_step",
    "save_weights",
    "save_weights_for_sampler",
    "save_weights_external",
)

ENDPOINTS = (
    Endpoint("POST", "/retrieve_future", retrieve_future),
    Endpoint("POST", "/asample", sample),
    *(Endpoint("POST", f"/{kind}", _command(kind)) for kind in _COMMANDS),
    Endpoint("POST", "/create_sampling_session", create_sampler),
    Endpoint("GET", "/samplers/([^/]+)", get_sampler),
    Endpoint("POST", "/get_info", get_info),
    Endpoint("POST", "/session_heartbeat", heartbeat),
    Endpoint("POST", "/telemetry", telemetry),
    Endpoint("POST", "/client/config", flags),
    Endpoint("POST", "/client/dynamic_config", flags),
    Endpoint("POST", "/create_session", create_session),
    Endpoint("POST", "/sessions/([^/]+)/finish", finish_session),
    Endpoint("GET", "/get_server_capabilities", capabilities),
    Endpoint("GET", "/healthz", healthz, is_open=True),
    *LISTINGS,
    *DOWNLOADS,
)
