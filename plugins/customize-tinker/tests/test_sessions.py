"""Sessions: projects, signs of life, ends, and searches."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from wire_client import HELLO, Asking, datum, serving


async def begun(asking: Asking, **facts: Any) -> str:
    said = await asking.told("create_session", tags=[], sdk_version="1", **facts)
    return str(said["session_id"])


async def found(asking: Asking, **wanted: Any) -> list[str]:
    told = await asking.told("sessions/search", **wanted)
    return [one["session_id"] for one in told["sessions"]]


def test_sessions_are_found_by_what_their_client_said(tmp_path: Path) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking, other = Asking(app), Asking(app, "tml-another-tenant")
            night = await begun(asking, display_name="Nightly Run of Pizza", project_id="shop")
            day = await begun(asking, display_name="daily", user_metadata={"a": "1", "b": "2"})
            await begun(other, display_name="nightly")
            assert await found(asking) == [day, night]
            assert await found(asking, display_name="pizza NIGHT") == [night]
            assert await found(asking, display_name="nightly", session_id=day) == [day, night]
            assert await found(asking, session_id="none") == []
            assert await found(asking, user_metadata={"a": "1"}) == [day]
            assert await found(asking, user_metadata={"a": "2"}) == []
            assert await found(asking, project_ids=["shop", "none"]) == [night]
            assert await found(asking, owner={"type": "accessible"}) == [day, night]
            own = (await asking.told("sessions/search"))["sessions"][0]["owner"]
            assert await found(asking, owner={"type": "user", "owner_urns": [own]}) == [day, night]
            assert await found(asking, owner={"type": "user", "owner_urns": ["x"]}) == []

    asyncio.run(through_the_server())


def test_a_search_goes_on_where_its_page_ended(tmp_path: Path) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            begun_ = [await begun(asking) for _ in range(5)]
            pages, cursor = [], None
            while True:
                told = await asking.told("sessions/search", limit=2, cursor=cursor)
                pages.append([one["session_id"] for one in told["sessions"]])
                if (cursor := told.get("next_cursor")) is None:
                    break
            assert pages == [begun_[:2:-1], begun_[2:0:-1], begun_[:1]]

    asyncio.run(through_the_server())


def test_what_became_of_a_session_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alive while its client says so, over when it says that; else nobody knows."""

    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            silent, alive, over = [await begun(asking) for _ in range(3)]
            told = {"reason": {"type": "errored"}, "detail": "a mistake"}
            await asking.told(f"sessions/{over}/finish", **told)
            now = time.monotonic()
            monkeypatch.setattr(time, "monotonic", lambda: now + 90)
            await asking.told("session_heartbeat", session_id=alive)
            late = await asking.post("session_heartbeat", {"session_id": over})
            assert late.status == 410  # its client stops
            sessions = (await asking.told("sessions/search"))["sessions"]
            statuses = {one["session_id"]: one["status"] for one in sessions}
            ended = {"type": "client_finished", **told}
            assert statuses == {silent: None, alive: {"type": "active"}, over: ended}
            errored = {"type": "client_finished", "reasons": ["errored"]}
            assert await found(asking, statuses=[{"type": "active"}, errored]) == [over, alive]
            success = {"type": "client_finished", "reasons": ["success"]}
            assert await found(asking, statuses=[success, {"type": "failed"}]) == []

    asyncio.run(through_the_server())


def test_runs_are_listed_by_the_project_of_their_session(tmp_path: Path) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            one, two = await begun(asking, project_id="shop"), await begun(asking)
            first, second = await asking.model(one), await asking.model(two)
            await asking.learn(first, [datum(HELLO)])
            await asking.do("save_weights", first, path="x")

            async def runs(project: str) -> list[str]:
                listed = await asking.request("GET", f"training_runs?project_id={project}")
                return [run["training_run_id"] for run in listed.json["training_runs"]]

            assert (await runs("shop"), await runs("default")) == ([first], [second])
            moving = json.dumps({"project_id": "shop"}).encode()
            await asking.request("PUT", f"sessions/{two}/project", moving)
            assert (await runs("shop"), await runs("default")) == ([second, first], [])
            kept = (await asking.told("sessions/search", session_id=one))["sessions"][0]
            assert (kept["project_id"], kept["checkpoints_count"]) == ("shop", 1)
            assert kept["checkpoint_storage_bytes"] > 0
            thief = Asking(app, "tml-another-tenant")
            refused = await thief.request("PUT", f"sessions/{two}/project", moving)
            assert refused.status == 404

    asyncio.run(through_the_server())


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"limit": 201}, "limit must be from 1 to 200"),
        ({"statuses": [{"type": "lost"}]}, "a status is of the types"),
        ({"statuses": [5]}, "a status is of the types"),
        ({"statuses": 5}, "statuses must be a list"),
        ({"project_ids": "shop"}, "project_ids must be a list"),
        ({"owner": {"type": "user"}}, "owner_urns must be a list"),
        ({"cursor": {"last_created_at": "noon", "last_session_id": "x"}}, "the next_cursor of"),
        ({"cursor": {"last_created_at": "2026-01-01"}}, "last_session_id is missing"),
        ({"older_than": 5}, "does not know older_than"),
    ],
)
def test_a_search_that_says_nothing_is_refused(
    tmp_path: Path, wanted: dict[str, object], message: str
) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            await begun(asking)
            refused = await asking.post("sessions/search", wanted)
            assert (refused.status, message in refused.json["detail"]) == (422, True), refused

    asyncio.run(through_the_server())


@pytest.mark.parametrize(
    "path",
    ["audit?event_type=x", "billing/usage/events", "auth/apikey/me", "sessions/x/trace_export"],
)
def test_what_a_console_is_for_is_refused_by_name(tmp_path: Path, path: str) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            refused = await Asking(app).request("GET", path)
            assert (refused.status, "not offered here" in refused.json["detail"]) == (404, True)

    asyncio.run(through_the_server())
