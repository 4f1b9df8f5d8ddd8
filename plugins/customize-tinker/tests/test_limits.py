"""Bounds on what clients may ask for: beyond them a request is refused, and others go on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import attrs
import pytest
from wire_client import HELLO, Asking, OperationFailed, datum, serving

from customize_tinker.limits import Limits
from customize_tinker.requests import ForwardBackward
from customize_tinker.worker import Job, Worker


def test_more_tokens_than_allowed_fail_and_take_their_turn(tmp_path: Path) -> None:
    """As data, whose sequences hold a target more than they have positions, and as a prompt."""

    async def through_the_server() -> None:
        async with serving(tmp_path, limits=Limits(tokens=16)) as app:
            asking = Asking(app)
            model = await asking.model(session := await asking.session())
            with pytest.raises(OperationFailed, match="more than 16 tokens in one forward_back"):
                await asking.learn(model, [datum(HELLO)] * 3)
            await asking.learn(model, [datum(HELLO)] * 2)
            sampler = await asking.sampler(session, base_model="toy")
            with pytest.raises(OperationFailed, match="more than 16 tokens in one prompt"):
                await asking.sample(sampler, [1] * 17)
            await asking.sample(sampler, [1] * 16, seq=1)

    asyncio.run(through_the_server())


def test_more_completions_than_allowed_are_refused(tmp_path: Path) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path, limits=Limits(samples=3)) as app:
            asking = Asking(app)
            sampler = await asking.sampler(await asking.session(), base_model="toy")
            asked = {"sampling_session_id": sampler, "seq_id": 0, "num_samples": 4}
            refused = await asking.post("asample", asked)
            assert (refused.status, "num_samples" in refused.json["detail"]) == (422, True)
            assert len((await asking.sample(sampler, HELLO, n=3)).completions) == 3

    asyncio.run(through_the_server())


def test_an_adapter_of_a_higher_rank_than_allowed_is_not_made(tmp_path: Path) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path, limits=Limits(rank=8)) as app:
            asking = Asking(app)
            session = await asking.session()
            with pytest.raises(OperationFailed, match="rank must be"):
                await asking.model(session, 0, rank=9)
            await asking.model(session, 1, rank=8)

    asyncio.run(through_the_server())


def test_a_key_whose_models_are_all_at_work_is_told_to_wait_and_others_are_not(
    tmp_path: Path,
) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path, limits=Limits(models=1)) as app:
            busy, other = Asking(app), Asking(app, "tml-another-tenant")
            model = await busy.model(session := await busy.session())
            waits = {"model_id": model, "seq_id": 2}  # for the first, which comes later
            assert (await busy.post("optim_step", waits)).status == 200
            another = {"session_id": session, "model_seq_id": 1, "base_model": "toy"}
            assert (await busy.post("create_model", another)).status == 429
            await other.model(await other.session())
            await busy.learn(model, [datum(HELLO)])
            await busy.result(f"{model}:2")
            assert (await busy.post("create_model", another)).status == 200

    asyncio.run(through_the_server())


def test_results_that_nobody_fetches_make_room_for_newer_ones(tmp_path: Path) -> None:
    """And one that is gone says so, for good: it is not waited for."""

    async def through_the_server() -> list[int]:
        async with serving(tmp_path, limits=Limits(results_mb=1)) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            large = ForwardBackward(model, 0, [datum(HELLO)] * 6000, "cross_entropy", {})
            ids = []
            for _ in range(8):
                ids.append(await asking.submit(attrs.evolve(large, seq=asking.next(model))))
            await asking.step(model)
            asked = [await asking.post("retrieve_future", {"request_id": id}) for id in ids]
            assert 100_000 < len(asked[-1].body) < 1_000_000
            assert asking.app._service is not None
            assert asking.app._service.promises._num_bytes <= 1 << 20
            return [found.status for found in asked]

    statuses = asyncio.run(through_the_server())
    assert statuses[0] == 410
    assert statuses[-1] == 200
    assert statuses == sorted(statuses, reverse=True)


def test_keys_take_turns_however_much_one_of_them_asks_for() -> None:
    done: list[str] = []
    worker = Worker(max_joined=1)
    for name in ("a1", "a2", "a3", "a4", "b1", "c1", "c2"):
        worker.submit(Job(name[0], lambda jobs: done.append(str(jobs[0].payload)), payload=name))
    ended = asyncio.run(_until_done(worker, done, 7))
    assert ended == ["a1", "b1", "c1", "a2", "c2", "a3", "a4"]


async def _until_done(worker: Worker, done: list[str], count: int) -> list[str]:
    worker.start()
    async with asyncio.timeout(20):
        while len(done) < count:
            await asyncio.sleep(0.01)
    worker.stop()
    return done
