"""Every endpoint, and what those answer that train and sample. Knows no ASGI."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

from customize_tinker import ids
from customize_tinker.asking import Answer, Ask, Endpoint, Handler, told
from customize_tinker.completions import Completion, Stream
from customize_tinker.downloads import DOWNLOADS
from customize_tinker.listing import LISTINGS
from customize_tinker.refusals import Refusal, missing
from customize_tinker.samplers import Source
from customize_tinker.service import Told
from customize_tinker.sessions import SESSIONS

_LONG_POLL_S = 35.0  # the official client gives up at 45
_POLL_S = 30.0  # of many: there it gives up at 45 as well


async def healthz(ask: Ask) -> Answer:
    return told({"status": "ok"})


async def capabilities(ask: Ask) -> Answer:
    base = ask.service.base
    facts = {"max_context_length": base.context, "trainable": True, "sampleable": True}
    return told({"supported_models": [{"model_name": name, **facts} for name in base.names]})


async def flags(ask: Ask) -> Answer:
    """How clients should behave: by themselves, but for what is here and not everywhere."""
    here = find_spec("torch") is not None
    return told({"sample_join_sampling_session": True, "custom_loss_server_side": here})


async def dynamic_flags(ask: Ask) -> Answer:
    return told({"sample_cancel_enabled": True})


async def telemetry(ask: Ask) -> Answer:
    """Thrown away."""
    return told({"status": "accepted"})


def _command(kind: str) -> Handler:
    async def take_on(ask: Ask) -> Answer:
        return await _promised(ask, ask.service.command(ask.tenant, kind, ask.body))

    return take_on


async def sample(ask: Ask) -> Answer:
    return await _promised(ask, ask.service.sample(ask.tenant, ask.body))


async def create_custom_loss(ask: Ask) -> Answer:
    return await _promised(ask, ask.service.create_loss(ask.tenant, ask.body))


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


async def retrieve_futures(ask: Ask) -> Answer:
    """Which samples of a client are done, many at a time."""
    body = ask.json()
    target = body.inner("target")
    sampler_id, clone = target.text("sampling_session_id"), target.integer("cloned_sampler_id", 0)
    target.end()
    cursor, timeout_s = body.integer("prev_cursor", 0), body.number("timeout", _POLL_S)
    body.ignore("retrieved_request_ids")  # what was fetched makes room of itself
    body.end()
    ask.service.sampler(ask.tenant, sampler_id)
    stream = Stream(ask.tenant.name, sampler_id, clone)
    found = await ask.service.promises.completions.after(stream, cursor, min(timeout_s, _POLL_S))
    return told(
        {
            "completions": [_completion(one) for one in found],
            "cursor": found[-1].cursor if found else cursor,
        }
    )


def _completion(done: Completion) -> dict[str, Any]:
    if done.failed:
        return {"state": "failed", "request_id": done.request_id}
    size = done.num_bytes
    finished = {"state": "finished", "response_payload_uncompressed_size": size}
    return {**finished, "request_id": done.request_id}


async def cancel_future(ask: Ask) -> Answer:
    body = ask.json()
    ask.service.cancel(ask.tenant, body.text("request_id"))
    return told({})


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
        found = ask.tenant.readable(ids.Address.parse(path))
        source = Source(base_model or found.adapter.base_model, path)
    id = ask.service.begin_sampler(ask.tenant, session_id, number, source)
    return told({"type": "create_sampling_session", "sampling_session_id": id})


async def join_sampler(ask: Ask) -> Answer:
    body = ask.json()
    number = ask.service.join_sampler(ask.tenant, body.text("sampling_session_id"))
    return told({"type": "join_sampling_session", "client_counter": number})


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


def _not_offered(why: str) -> Handler:
    async def refuse(ask: Ask) -> Answer:
        raise Refusal(404, f"this is not offered here: {why}")

    return refuse


_NOT_OFFERED = {
    "/audit": "no log of who did what is kept",
    "/auth/.+": "a key is all that is known of who asks",
    "/billing/.+": "nothing is billed",
    "/sessions/[^/]+/trace_export": "no traces are kept",
}
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
    Endpoint("POST", "/create_custom_loss", create_custom_loss),
    Endpoint("POST", "/retrieve_futures", retrieve_futures),
    Endpoint("POST", "/cancel_future", cancel_future),
    Endpoint("POST", "/asample", sample),
    *(Endpoint("POST", f"/{kind}", _command(kind)) for kind in _COMMANDS),
    Endpoint("POST", "/create_sampling_session", create_sampler),
    Endpoint("POST", "/join_sampling_session", join_sampler),
    Endpoint("GET", "/samplers/([^/]+)", get_sampler),
    Endpoint("POST", "/get_info", get_info),
    Endpoint("POST", "/telemetry", telemetry),
    Endpoint("POST", "/client/config", flags),
    Endpoint("POST", "/client/dynamic_config", dynamic_flags),
    Endpoint("GET", "/get_server_capabilities", capabilities),
    Endpoint("GET", "/healthz", healthz, is_open=True),
    *(Endpoint("GET", path, _not_offered(why)) for path, why in _NOT_OFFERED.items()),
    *SESSIONS,
    *LISTINGS,
    *DOWNLOADS,
)
