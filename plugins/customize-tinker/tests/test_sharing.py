"""Checkpoints that others may read, copies of them, and samplers that follow a model."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from wire_client import HELLO, Asking, OperationFailed, datum, serving


async def trained(asking: Asking, session: str, number: int = 0) -> str:
    model = await asking.model(session, number)
    await asking.learn(model, [datum(HELLO)])
    await asking.step(model, 1.0)
    return model


async def changed(asking: Asking, method: str, path: str) -> int:
    run, kind, name = path.removeprefix("tinker://").split("/")
    address = f"training_runs/{run}/checkpoints/{kind}/{name}/publish"
    return (await asking.request(method, address)).status


def test_a_published_checkpoint_is_read_by_others_until_it_is_taken_back(tmp_path: Path) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            owner, other = Asking(app), Asking(app, "tml-another-tenant")
            model = await trained(owner, await owner.session())
            path = (await owner.do("save_weights", model, path="mine"))["path"]
            there, own = await other.session(), 0

            async def tries() -> list[int]:
                nonlocal own
                own += 1
                sampler = {"session_id": there, "sampling_session_seq_id": own, "model_path": path}
                return [
                    (await other.post("weights_info", {"tinker_path": path})).status,
                    (await other.post("create_sampling_session", sampler)).status,
                ]

            assert await changed(other, "POST", path) == 422
            assert await tries() == [422, 422]
            assert await changed(owner, "POST", path) == 200
            assert await tries() == [200, 200]
            said = await other.told("load_weights", session_id=there, model_seq_id=0, path=path)
            loaded = (await other.result(said["request_id"])).json["model_id"]
            theirs = await other.learn(loaded, [datum(HELLO)], forward_only=True)
            ours = await owner.learn(model, [datum(HELLO)], forward_only=True)
            np.testing.assert_array_equal(theirs.logprobs[0], ours.logprobs[0])
            for method in ("DELETE", "POST"):  # it is no more theirs than it was
                assert await changed(other, method, path) == 422
            listed = (await owner.request("GET", "checkpoints")).json["checkpoints"]
            assert [one["public"] for one in listed] == [True]
            assert (await other.request("GET", "checkpoints")).json["checkpoints"] == []
            assert await changed(owner, "DELETE", path) == 200
            assert await tries() == [422, 422]

    asyncio.run(through_the_server())


def test_a_deleted_checkpoint_is_published_no_more(tmp_path: Path) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            owner, other = Asking(app), Asking(app, "tml-another-tenant")
            model = await trained(owner, await owner.session())
            path = (await owner.do("save_weights", model, path="mine"))["path"]
            assert await changed(owner, "POST", path) == 200
            gone = f"training_runs/{model}/checkpoints/weights/mine"
            assert (await owner.request("DELETE", gone)).status == 200
            await owner.do("save_weights", model, path="mine")
            assert (await other.post("weights_info", {"tinker_path": path})).status == 422

    asyncio.run(through_the_server())


def test_a_copy_stays_when_what_was_copied_goes(tmp_path: Path) -> None:
    """And is made once, however often the request comes."""

    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            owner, other = Asking(app), Asking(app, "tml-another-tenant")
            session = await owner.session()
            model = await trained(owner, session)
            path = (await owner.do("save_weights", model, path="mine"))["path"]
            expected = await owner.learn(model, [datum(HELLO)], forward_only=True)
            body = json.dumps({"source_path": path, "destination_project_id": "p"}).encode()
            assert (await other.request("POST", "copy_weights", body)).status == 422
            assert await changed(owner, "POST", path) == 200
            once = {"x-idempotency-key": "a"}
            copies = [
                (await asking.request("POST", "copy_weights", body, headers)).json["tinker_path"]
                for asking, headers in ((other, once), (other, once), (other, {}), (owner, once))
            ]
            assert copies[0] == copies[1]
            assert len({*copies, path}) == 4
            gone = f"training_runs/{model}/checkpoints/weights/mine"
            assert (await owner.request("DELETE", gone)).status == 200
            said = await other.told(
                "load_weights",
                session_id=await other.session(),
                model_seq_id=0,
                path=copies[0],
                optimizer=True,
            )
            loaded = (await other.result(said["request_id"])).json["model_id"]
            found = await other.learn(loaded, [datum(HELLO)], forward_only=True)
            np.testing.assert_array_equal(found.logprobs[0], expected.logprobs[0])
            run = copies[0].removeprefix("tinker://").split("/")[0]
            step = {"model_id": run, "seq_id": 1, "adam_params": {}}
            assert (await other.post("optim_step", step)).status == 404  # it is for keeping
            listed = (await other.request("GET", "training_runs")).json["training_runs"]
            assert run in [one["training_run_id"] for one in listed]
            taken = {"source_path": copies[3], "session_id": session, "model_seq_id": 0}
            assert (await owner.post("copy_weights", taken)).status == 422

    asyncio.run(through_the_server())


def test_another_accounts_token_is_refused_by_name(tmp_path: Path) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await trained(asking, await asking.session())
            path = (await asking.do("save_weights", model, path="mine"))["path"]
            body = json.dumps({"source_path": path}).encode()
            token = {"x-tinker-weights-access-token": "secret"}
            refused = await asking.request("POST", "copy_weights", body, token)
            assert (refused.status, "publish" in refused.json["detail"]) == (422, True)

    asyncio.run(through_the_server())


def test_inflight_samplers_follow_the_model(tmp_path: Path) -> None:
    """All of them, and through a restart; a snapshot does not move."""

    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            session = await asking.session()
            model = await trained(asking, session)

            async def saved(number: int, kind: str) -> str:
                value = {"sampling_session_seq_id": number, "kind": kind}
                told = await asking.do("save_weights_for_sampler", model, **value)
                return str(told["sampling_session_id"])

            async def said(sampler: str, seq: int) -> object:
                given = await asking.sample(
                    sampler, HELLO, seq=seq, params={"max_tokens": 1}, prompt_logprobs=True
                )
                assert given.prompt_logprobs is not None
                return given.prompt_logprobs[1:].tolist()

            async def now() -> object:
                return (
                    (await asking.learn(model, [datum(HELLO)], forward_only=True))
                    .logprobs[0]
                    .tolist()
                )

            kept, first = await saved(0, "snapshot"), await saved(1, "inflight")
            began = await now()
            assert await said(first, 0) == began
            await asking.learn(model, [datum(HELLO)])
            await asking.step(model, 1.0)
            assert await said(first, 1) == began  # until they are saved again
            second = await saved(2, "inflight")
            moved = await now()
            assert moved != began
            assert await said(first, 2) == await said(second, 0) == moved
            assert await said(kept, 0) == began
            (version,) = (tmp_path / "kept").rglob("inflight/*")
            assert version.name.isdecimal()
        async with serving(tmp_path) as app:
            asking.app = app
            assert await said(first, 3) == pytest.approx(moved)
            assert (await asking.request("POST", f"sessions/{session}/finish", b"{}")).status == 200
            await asking.step(model)  # what was asked for before is done
            assert not list((tmp_path / "kept").rglob("inflight/*"))

    asyncio.run(through_the_server())


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"kind": "hot"}, "of the kinds snapshot, inflight"),
        ({"kind": "inflight", "path": "x"}, "a checkpoint does not move"),
    ],
)
def test_kinds_that_are_not_there_are_refused(
    tmp_path: Path, asked: dict[str, str], message: str
) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            with pytest.raises(OperationFailed, match=message):
                await asking.do("save_weights_for_sampler", model, **asked)

    asyncio.run(through_the_server())
