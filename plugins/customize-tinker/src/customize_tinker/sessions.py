"""Sessions of clients: begun, alive, over, listed and found. Knows neither models nor engines."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs

from customize_tinker.asking import Answer, Ask, Endpoint, page, told
from customize_tinker.body import Body
from customize_tinker.refusals import Refusal, unreadable

PROJECT = "default"  # of a session that names none
_UNEMBED = (
    "adapters here are on the linear layers of attention and MLP: train_unembed is not followed"
)
_REASONS = ("success", "errored", "interrupted")
_STATUSES = ("active", "cancelled", "failed", "client_finished")

Status = Mapping[str, Any] | None  # JSON; None where nobody knows what became of it


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
        "project_id": body.maybe_text("project_id") or PROJECT,
    }
    body.end()
    id = ask.service.begin_session(ask.tenant, facts)
    return told({"type": "create_session", "session_id": id, "info_message": _UNEMBED})


async def heartbeat(ask: Ask) -> Answer:
    id = ask.json().text("session_id")
    if "finished" in ask.service.check_session(ask.tenant, id):
        raise Refusal(410, "this session was finished by its client")
    ask.service.hear_of(ask.tenant, id)
    return told({"type": "session_heartbeat"})


async def finish_session(ask: Ask) -> Answer:
    body = ask.json()
    reason = body.inner("reason").text("type", "success")
    if reason not in _REASONS:
        raise unreadable(f"reason.type must be one of {', '.join(_REASONS)} (got {reason[:80]!r})")
    finished = {"reason": {"type": reason}, "detail": body.maybe_text("detail")}
    ask.service.finish_session(ask.tenant, ask.groups[0], finished)
    return told({"type": "finish_session"})


async def sessions(ask: Ask) -> Answer:
    found, _ = page(ask, ask.tenant.session_ids(), 20)
    return told({"sessions": found})


async def session(ask: Ask) -> Answer:
    id = ask.groups[0]
    facts = ask.service.check_session(ask.tenant, id)
    return told(
        {
            "training_run_ids": ask.tenant.model_ids(id),
            "sampler_ids": ask.tenant.sampler_ids(id),
            "user_metadata": facts.get("metadata"),
            "display_name": facts.get("display_name"),
        }
    )


async def change_project(ask: Ask) -> Answer:
    """A project is a name on sessions, which runs and searches are narrowed by."""
    body = ask.json()
    project = body.text("project_id")
    body.end()
    ask.service.change_session(ask.tenant, ask.groups[0], {"project_id": project})
    return told({})


@attrs.frozen
class Found:
    """A session, as a search sees it."""

    id: str
    created: datetime
    facts: Mapping[str, Any]  # whatever its client said
    status: Status

    @property
    def place(self) -> tuple[datetime, str]:
        return self.created, self.id


Matches = Callable[[Found], bool]


async def search(ask: Ask) -> Answer:
    """The newest first."""
    body = ask.json()
    limit = body.integer("limit", 50, at_least=1, at_most=200)
    rules = [*_rules(body, ask.tenant.name), *_after(body)]
    body.end()
    found = [one for one in _all(ask) if all(rule(one) for rule in rules)]
    answer: dict[str, Any] = {"sessions": [_summary(ask, one) for one in found[:limit]]}
    if len(found) > limit:
        last = found[limit - 1]
        cursor = {"last_created_at": last.created.isoformat(), "last_session_id": last.id}
        answer["next_cursor"] = cursor
    return told(answer)


def _all(ask: Ask) -> Sequence[Found]:
    """The newest first."""
    out = []
    for id, facts in ask.tenant.sessions().items():
        created = datetime.fromtimestamp(facts["time_s"], UTC)
        out.append(Found(id, created, facts, _status(ask, id, facts)))
    return out


def _status(ask: Ask, id: str, facts: Mapping[str, Any]) -> Status:
    if "finished" in facts:
        return {"type": "client_finished", **facts["finished"]}
    return {"type": "active"} if ask.service.is_alive(ask.tenant, id) else None


def _rules(body: Body, tenant: str) -> list[Matches]:
    rules: list[Matches] = []
    id, name = body.maybe_text("session_id"), body.maybe_text("display_name")
    if id is not None or name is not None:
        words = (name or "").lower().split()
        rules.append(lambda one: one.id == id or (bool(words) and _is_called(one, words)))
    if body.has("project_ids"):
        projects = _texts(body, "project_ids")
        rules.append(lambda one: one.facts.get("project_id", PROJECT) in projects)
    if pairs := body.labels("user_metadata"):
        rules.append(lambda one: pairs.items() <= (one.facts.get("metadata") or {}).items())
    owner = body.inner("owner")
    if owner.text("type", "own") == "user":
        is_own = tenant in _texts(owner, "owner_urns")
        rules.append(lambda one: is_own)
    if body.has("statuses"):
        statuses = body.raw("statuses")
        if not isinstance(statuses, list):
            raise unreadable("statuses must be a list")
        wanted = [_wanted(one) for one in statuses]
        rules.append(lambda one: any(rule(one) for rule in wanted))
    return rules


def _is_called(one: Found, words: Sequence[str]) -> bool:
    name = (one.facts.get("display_name") or "").lower()
    return all(word in name for word in words)


def _wanted(status: Any) -> Matches:  # any JSON
    body = Body(status if isinstance(status, dict) else {}, "statuses.")
    kind = str(body.raw("type"))
    if kind not in _STATUSES:
        raise unreadable(f"a status is of the types {', '.join(_STATUSES)} (got {kind[:80]!r})")
    reasons = _texts(body, "reasons") if body.has("reasons") else _REASONS

    def matches(one: Found) -> bool:
        if one.status is None or one.status["type"] != kind:
            return False
        return kind != "client_finished" or one.status["reason"]["type"] in reasons

    return matches


def _after(body: Body) -> list[Matches]:
    if not body.has("cursor"):
        return []
    cursor = body.inner("cursor")
    id, told_at = cursor.text("last_session_id"), cursor.text("last_created_at")
    try:
        place = datetime.fromisoformat(told_at).astimezone(UTC), id
    except (ValueError, OverflowError):
        raise unreadable("cursor must be the next_cursor of the page before") from None
    return [lambda one: one.place < place]


def _texts(body: Body, name: str) -> list[str]:
    values = body.raw(name)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise unreadable(f"{name} must be a list of texts")
    return values


def _summary(ask: Ask, one: Found) -> dict[str, Any]:
    runs = ask.tenant.model_ids(one.id)
    kept = [checkpoint for run in runs for checkpoint in ask.tenant.checkpoints(run)]
    return {
        "session_id": one.id,
        "created_at": one.created.isoformat(),
        "owner": ask.tenant.name,
        "project_id": one.facts.get("project_id", PROJECT),
        "status": one.status,
        "checkpoints_count": len(kept),
        "checkpoint_storage_bytes": sum(checkpoint.size_bytes for checkpoint in kept),
        "display_name": one.facts.get("display_name"),
        "user_metadata": one.facts.get("metadata"),
    }


SESSIONS = (
    Endpoint("POST", "/create_session", create_session),
    Endpoint("POST", "/session_heartbeat", heartbeat),
    Endpoint("POST", "/sessions/search", search),
    Endpoint("POST", "/sessions/([^/]+)/finish", finish_session),
    Endpoint("PUT", "/sessions/([^/]+)/project", change_project),
    Endpoint("GET", "/sessions", sessions),
    Endpoint("GET", "/sessions/([^/]+)", session),
)
