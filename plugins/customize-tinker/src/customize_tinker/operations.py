"""What may be asked of a model, read from its request and checked. Knows no engine.

A request is read as it arrives, so that one that cannot be is refused at once, and again where a
journal is replayed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from customize import AdamW, OptionError
from customize_tinker import ids
from customize_tinker.body import Body
from customize_tinker.limits import Limits
from customize_tinker.refusals import Refusal, unreadable
from customize_tinker.requests import ForwardBackward, decode_forward_backward


@attrs.frozen
class Create:
    """A new adapter on the base."""

    base_model: str
    rank: int
    seed: int
    train_mlp: bool
    train_attn: bool
    metadata: Mapping[str, Any] | None


@attrs.frozen
class Load:
    """A saved adapter, with its optimizer or as it begins."""

    address: ids.Address
    optimizer: bool
    metadata: Mapping[str, Any] | None


@attrs.frozen
class Step:
    """An optimizer step."""

    optimizer: AdamW


@attrs.frozen
class Save:
    """A checkpoint of the present weights; a ``weights`` one with the optimizer."""

    address: ids.Address
    ttl_s: int | None
    overwrite: bool
    metadata: Mapping[str, Any] | None


@attrs.frozen
class SaveUnnamed:
    """The present weights as a sampler."""

    sampler_id: str


@attrs.frozen
class SaveInflight:
    """The present weights for a new sampler, and for all of the model that were made so before."""

    sampler_id: str


Operation = Create | Load | ForwardBackward | Step | Save | SaveUnnamed | SaveInflight


@attrs.frozen(eq=False)
class Asked:
    """Operation ``seq`` of a model; or why it will fail, which takes its turn as well.

    A client whose request were refused outright would go on with the next number, and wait for ever
    for what comes before it.
    """

    model_id: str
    seq: int
    operation: Operation | Exception


def read(kind: str, data: bytes, limits: Limits) -> Asked:
    """What a request asks for; kind is its endpoint's name.

    Raises:
        Refusal, WireError: it cannot be read, or does not say which operation it is.
    """
    if kind == "forward_backward":
        request = decode_forward_backward(data)
        if request.seq < 1:
            raise unreadable("seq_id must be at least 1")
        return Asked(request.model_id, request.seq, request)
    body = Body.read(data)
    id, seq = _numbered(kind, body)
    try:
        operation = _READERS[kind](body, id, limits)
        body.end()
    except (Refusal, OptionError) as refused:
        return Asked(id, seq, refused)
    return Asked(id, seq, operation)


def _numbered(kind: str, body: Body) -> tuple[str, int]:
    """A new model's first operation is number 0."""
    if kind == "create_model" or body.has("session_id"):
        session_id = ids.check_session_id(body.text("session_id"))
        body.ignore("model_id", "seq_id")
        return ids.model_id(session_id, body.integer("model_seq_id", at_most=10**9)), 0
    return body.text("model_id"), body.integer("seq_id", at_least=1, at_most=10**9)


def _create(body: Body, id: str, limits: Limits) -> Operation:
    lora = body.inner("lora_config")
    rank = lora.integer("rank", 32, at_least=1, at_most=limits.rank)
    seed = lora.maybe_integer("seed")
    mlp, attention = lora.flag("train_mlp", True), lora.flag("train_attn", True)
    lora.ignore("train_unembed")  # told to clients when their session begins
    lora.end()
    if not (mlp or attention):
        raise unreadable("with neither train_mlp nor train_attn there is nothing to train")
    _only_adamw(body)
    return Create(
        body.text("base_model"),
        rank,
        _seed_of(id) if seed is None else seed,
        mlp,
        attention,
        body.labels("user_metadata"),
    )


def _load(body: Body, id: str, limits: Limits) -> Operation:
    _only_adamw(body)
    body.ignore("base_model")  # the checkpoint's own is checked
    address = ids.Address.parse(body.text("path"))
    return Load(address, body.flag("optimizer", False), body.labels("user_metadata"))


def _step(body: Body, id: str, limits: Limits) -> Operation:
    if body.has("optimizer_params"):
        raise unreadable("this server has AdamW: leave out optimizer_params")
    adam = body.inner("adam_params")
    optimizer = AdamW(
        lr=adam.number("learning_rate", 1e-4),
        beta1=adam.number("beta1", 0.9),
        beta2=adam.number("beta2", 0.95),
        eps=adam.number("eps", 1e-12),
        weight_decay=adam.number("weight_decay", 0.0),
        max_grad_norm=adam.number("grad_clip_norm", 0.0),
    )
    adam.end()
    return Step(optimizer)


def _save(body: Body, id: str, limits: Limits) -> Operation:
    return _named_save(body, id, "weights")


def _save_for_sampler(body: Body, id: str, limits: Limits) -> Operation:
    if (kind := body.text("kind", "snapshot")) not in _KINDS:
        raise unreadable(f"samplers are of the kinds {', '.join(_KINDS)} (got {kind[:80]!r})")
    if body.has("path"):
        if kind != "snapshot":
            raise unreadable(f"a checkpoint does not move: leave out path, or kind={kind}")
        return _named_save(body, id, "sampler_weights")
    number = body.integer("sampling_session_seq_id", at_most=10**9)
    body.ignore("ttl_seconds", "user_metadata")  # its weights go with the session
    return _KINDS[kind](ids.sampler_id(ids.session_of(id), number))


def _save_external(body: Body, id: str, limits: Limits) -> Operation:
    if body.raw("age_encryption_recipients"):
        raise unreadable("files are not encrypted here: leave out age_encryption_recipients")
    return _named_save(body, id, "external_weights")


def _named_save(body: Body, id: str, kind: ids.Kind) -> Operation:
    address = ids.Address(id, kind, ids.check_name(body.text("path")))
    ttl = body.maybe_integer("ttl_seconds", at_least=1)
    return Save(address, ttl, body.flag("overwrite", False), body.labels("user_metadata"))


def _only_adamw(body: Body) -> None:
    config = body.inner("optimizer_config")
    if (name := config.text("type", "adamw")) != "adamw":
        raise unreadable(f"this server has AdamW, and no optimizer {name!r}")


def _seed_of(id: str) -> int:
    """A replayed journal must begin with the same weights."""
    return int.from_bytes(hashlib.sha256(id.encode()).digest()[:4], "little")


_KINDS: dict[str, Callable[[str], Operation]] = {
    "snapshot": SaveUnnamed,
    "inflight": SaveInflight,
}
_READERS: dict[str, Callable[[Body, str, Limits], Operation]] = {
    "create_model": _create,
    "load_weights": _load,
    "optim_step": _step,
    "save_weights": _save,
    "save_weights_for_sampler": _save_for_sampler,
    "save_weights_external": _save_external,
}
