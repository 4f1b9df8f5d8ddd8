"""Samples that nobody waits for any more, and many that are waited for at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from wire_client import HELLO, Asking, OperationFailed, Response, serving

from customize import Completion, Handle, OnToken, Prompt, Sampling
from customize.testing.toy import ToyEngine, ToySnapshot

PROMPT = {"chunks": [{"type": "encoded_text", "tokens": HELLO}]}


class Held(ToySnapshot):
    """Tells when it draws, and draws no further before it may. drawn: tokens so far."""

    begun = threading.Event()
    may = threading.Event()
    drawn = 0

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Handle[list[list[Completion]]]:
        def watched(i: int, j: int, token: int) -> None:
            Held.begun.set()
            assert Held.may.wait(60)
            Held.drawn += 1
            assert on_token is not None
            on_token(i, j, token)

        return super().sample(prompts, sampling, watched)


@pytest.fixture(autouse=True)
def held(monkeypatch: pytest.MonkeyPatch) -> None:
    Held.begun.clear()
    Held.may.clear()
    Held.drawn = 0
    base = ToyEngine.base
    monkeypatch.setattr(ToyEngine, "base", lambda engine: _held(base(engine)))


def _held(snapshot: Any) -> Any:
    snapshot.__class__ = Held
    return snapshot


async def asked(asking: Asking, sampler: str, seq: int, **params: Any) -> str:
    said = await asking.told(
        "asample",
        sampling_session_id=sampler,
        seq_id=seq,
        prompt=PROMPT,
        sampling_params={"max_tokens": 50, "seed": 5, "stop": [], **params},
    )
    return str(said["request_id"])


async def cancelled(asking: Asking, request_id: str) -> Response:
    return await asking.post("cancel_future", {"request_id": request_id})


def test_a_cancelled_sample_is_computed_no_further(tmp_path: Path) -> None:
    """One that is being computed, and one that waits for its turn; the one after both is done."""

    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            sampler = await asking.sampler(await asking.session(), base_model="toy")
            first = await asked(asking, sampler, 0)
            await asyncio.to_thread(Held.begun.wait, 60)
            second = await asked(asking, sampler, 1, max_tokens=51)
            third = await asked(asking, sampler, 2, max_tokens=2)
            for id in (first, second):
                assert (await cancelled(asking, id)).status == 200
            Held.may.set()
            for id in (first, second):
                with pytest.raises(OperationFailed, match="it was cancelled"):
                    await asking.result(id)
            await asking.result(third)
            assert Held.drawn == 3  # the token that was being drawn, and the third's two
            assert await asked(asking, sampler, 1) == second  # asked again it is what it was
            assert (await cancelled(asking, third)).status == 200  # which changes nothing
            await asking.result(third)

    asyncio.run(through_the_server())


def test_only_samples_of_ones_own_are_cancelled(tmp_path: Path) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            owner, thief = Asking(app), Asking(app, "tml-another-tenant")
            session = await owner.session()
            sampler = await owner.sampler(session, base_model="toy")
            mine = await asked(owner, sampler, 0)
            assert (await cancelled(thief, mine)).status == 404
            Held.may.set()
            await owner.result(mine)
            model = await owner.model(session)
            refused = await cancelled(owner, f"{model}:0")
            assert (refused.status, "takes its turn" in refused.json["detail"]) == (422, True)

    asyncio.run(through_the_server())


async def polled(asking: Asking, sampler: str, cursor: int, timeout: float, clone: int = 0) -> Any:
    target = {
        "type": "sampling_session",
        "sampling_session_id": sampler,
        "cloned_sampler_id": clone,
    }
    value = {"target": target, "prev_cursor": cursor, "timeout": timeout}
    return await asking.post("retrieve_futures", value)


def test_what_is_done_is_told_once_to_the_client_that_asked(tmp_path: Path) -> None:
    """A poll that begins before anything is done ends as the first sample is."""

    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            sampler = await asking.sampler(await asking.session(), base_model="toy")
            assert (await polled(asking, sampler, 0, 0)).json == {"completions": [], "cursor": 0}
            waiting = asyncio.create_task(polled(asking, sampler, 0, 30))
            await asyncio.sleep(0)
            first = await asked(asking, sampler, 0, max_tokens=2)
            Held.may.set()
            told = (await asyncio.wait_for(waiting, 20)).json
            size = len((await asking.result(first)).body)
            finished = {"state": "finished", "request_id": first}
            expected = {**finished, "response_payload_uncompressed_size": size}
            assert told["completions"] == [expected]
            bad = await asked(asking, sampler, 1, top_p=2)
            copy = await asked(asking, sampler, 3 * 10**9, max_tokens=2)
            await asking.result(copy)
            again = (await polled(asking, sampler, told["cursor"], 0)).json
            assert again["completions"] == [{"state": "failed", "request_id": bad}]
            others = (await polled(asking, sampler, 0, 0, clone=3)).json
            assert [one["request_id"] for one in others["completions"]] == [copy]

    asyncio.run(through_the_server())


def test_a_cursor_of_a_server_that_ended_is_refused(tmp_path: Path) -> None:
    """What the client waits for there will never come."""

    async def through_the_server() -> None:
        Held.may.set()
        async with serving(tmp_path) as app:
            asking = Asking(app)
            sampler = await asking.sampler(await asking.session(), base_model="toy")
            await asking.result(await asked(asking, sampler, 0, max_tokens=1))
            cursor = (await polled(asking, sampler, 0, 30)).json["cursor"]
        async with serving(tmp_path) as app:
            asking.app = app
            assert (await polled(asking, sampler, cursor, 0)).status == 410
            thief = Asking(app, "tml-another-tenant")
            assert (await polled(thief, sampler, 0, 0)).status == 404

    asyncio.run(through_the_server())


def test_each_client_that_joins_a_sampler_has_a_number_of_its_own(tmp_path: Path) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            sampler = await asking.sampler(await asking.session(), base_model="toy")
            asked = {"sampling_session_id": sampler}
            numbers = [(await asking.told("join_sampling_session", **asked))["client_counter"]]
        async with serving(tmp_path) as app:
            asking.app = app
            numbers += [(await asking.told("join_sampling_session", **asked))["client_counter"]]
            assert numbers == [1, 2]
            thief = Asking(app, "tml-another-tenant")
            assert (await thief.post("join_sampling_session", asked)).status == 404

    asyncio.run(through_the_server())
