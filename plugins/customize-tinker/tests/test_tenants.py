"""Keys are tenants: nothing of another's is named, listed, loaded or held up."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click
import pytest
from wire_client import HELLO, Asking, datum, serving

from customize import OptionError
from customize_tinker.__main__ import command
from customize_tinker.limits import Limits
from customize_tinker.tenants import check_keys

OTHER = [1, 2, 3, 4, 5, 6]


async def learn_for_a_while(asking: Asking, model: str, tokens: list[int]) -> list[float]:
    losses = []
    for _ in range(5):
        output = await asking.learn(model, [datum(tokens)])
        losses.append(output.metrics["loss:sum"])
        await asking.step(model, 0.05)
    return losses


def test_two_tenants_at_once_get_what_each_gets_alone_to_the_bit(tmp_path: Path) -> None:
    async def alone(folder: Path, key: str, tokens: list[int], rank: int) -> list[float]:
        async with serving(folder) as app:
            asking = Asking(app, key)
            model = await asking.model(await asking.session(), rank=rank)
            return await learn_for_a_while(asking, model, tokens)

    async def together() -> tuple[list[float], list[float]]:
        async with serving(tmp_path / "both") as app:
            one, two = Asking(app, "tml-tenant-one"), Asking(app, "tml-tenant-two")
            first = await one.model(await one.session(), rank=4)
            second = await two.model(await two.session(), rank=16)
            both = await asyncio.gather(
                learn_for_a_while(one, first, HELLO), learn_for_a_while(two, second, OTHER)
            )
            return both[0], both[1]

    one, two = asyncio.run(together())
    assert one == asyncio.run(alone(tmp_path / "one", "tml-tenant-one", HELLO, 4))
    assert two == asyncio.run(alone(tmp_path / "two", "tml-tenant-two", OTHER, 16))


def test_nothing_of_another_tenant_is_reached_by_its_id(tmp_path: Path) -> None:
    """Each answer is the one for what never was."""

    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            owner, thief = Asking(app), Asking(app, "tml-another-tenant")
            session = await owner.session()
            model = await owner.model(session)
            await owner.learn(model, [datum(HELLO)])
            await owner.step(model)
            saved = (await owner.do("save_weights", model, path="mine"))["path"]
            sampler = (
                await owner.do("save_weights_for_sampler", model, sampling_session_seq_id=0)
            )["sampling_session_id"]
            own = await thief.model(own_session := await thief.session())
            prompt = {"chunks": [{"type": "encoded_text", "tokens": HELLO}]}
            attempts = [
                ("POST", "session_heartbeat", {"session_id": session}),
                ("POST", f"sessions/{session}/finish", {}),
                ("POST", "create_model", {"session_id": session, "model_seq_id": 1}),
                ("POST", "create_model", {"session_id": session, "model_seq_id": 0}),
                ("POST", "optim_step", {"model_id": model, "seq_id": 3}),
                ("POST", "save_weights", {"model_id": model, "seq_id": 4, "path": "x"}),
                ("POST", "get_info", {"model_id": model}),
                ("POST", "weights_info", {"tinker_path": saved}),
                (
                    "POST",
                    "create_sampling_session",
                    {
                        "session_id": own_session,
                        "sampling_session_seq_id": 0,
                        "model_path": saved,
                    },
                ),
                (
                    "POST",
                    "asample",
                    {"sampling_session_id": sampler, "seq_id": 0, "prompt": prompt},
                ),
                ("GET", f"samplers/{sampler}", None),
                ("GET", f"training_runs/{model}", None),
                ("GET", f"training_runs/{model}/checkpoints", None),
                ("DELETE", f"training_runs/{model}/checkpoints/weights/mine", None),
                ("PUT", f"training_runs/{model}/checkpoints/weights/mine/ttl", {"ttl_seconds": 1}),
                ("GET", f"sessions/{session}", None),
                ("POST", "retrieve_future", {"request_id": f"{model}:1"}),
            ]
            for method, path, value in attempts:
                body = b"" if value is None else json.dumps(value).encode()
                found = await thief.request(method, path, body)
                assert 400 <= found.status < 500, (path, found)
            said = await thief.told("load_weights", model_id=own, seq_id=1, path=saved)
            refused = await thief.post("retrieve_future", said)
            assert "there is no checkpoint" in refused.json["error"]
            for listing, key in (
                ("training_runs", "training_runs"),
                ("checkpoints", "checkpoints"),
                ("sessions", "sessions"),
            ):
                listed = (await thief.request("GET", listing)).json[key]
                assert session not in json.dumps(listed)
            assert await owner.step(model) == 0.0  # and the owner's goes on, undisturbed

    asyncio.run(through_the_server())


def test_a_key_that_is_not_the_servers_is_refused(tmp_path: Path) -> None:
    async def through_the_server() -> list[int]:
        async with serving(tmp_path, tokens=("tml-12345678", "tml-87654321")) as app:
            keys = ("tml-12345678", "tml-87654321", "tml-00000000", "")
            return [(await Asking(app, key).request("GET", "sessions")).status for key in keys]

    assert asyncio.run(through_the_server()) == [200, 200, 401, 401]


@pytest.mark.parametrize(
    ("host", "tokens"), [("0.0.0.0", ()), ("10.0.0.1", ()), ("127.0.0.1", ("secret-12345",))]
)
def test_an_address_others_reach_needs_keys_that_clients_can_send(
    host: str, tokens: tuple[str, ...]
) -> None:
    with pytest.raises(OptionError, match=r"tml-|--token"):
        check_keys(host, tokens)


def test_a_key_that_waits_for_too_much_is_told_to_wait_and_others_are_not(tmp_path: Path) -> None:
    async def through_the_server() -> tuple[list[int], list[int]]:
        async with serving(tmp_path, limits=Limits(queue=3)) as app:
            greedy, other = Asking(app), Asking(app, "tml-another-tenant")
            first = await greedy.model(await greedy.session())
            second = await other.model(await other.session())
            return await _steps(greedy, first, 5), await _steps(other, second, 1)

    greedy, other = asyncio.run(through_the_server())
    assert greedy == [200, 200, 200, 429, 429]
    assert other == [200]


async def _steps(asking: Asking, model: str, count: int) -> list[int]:
    """Steps that wait for the first, which does not come."""
    numbered = ({"model_id": model, "seq_id": n + 2} for n in range(count))
    return [(await asking.post("optim_step", value)).status for value in numbered]


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ("queues=5", click.UsageError, "NAME is one of body_mb, tokens"),
        ("queue", click.UsageError, "takes NAME=NUMBER"),
        ("queue=-5", click.UsageError, "takes NAME=NUMBER"),
        ("queue=0", OptionError, "queue must be >= 1"),
    ],
)
def test_a_limit_that_is_none_is_said_before_the_server_begins(
    tmp_path: Path, given: str, kind: type[Exception], message: str
) -> None:
    asked = [str(tmp_path), "--limit", "rank=8", "--limit", given]
    with pytest.raises(kind, match=message):
        command.main(asked, standalone_mode=False)


def test_models_beyond_the_limit_are_opened_again_as_they_were(tmp_path: Path) -> None:
    async def losses(models: int, folder: Path) -> list[list[float]]:
        async with serving(folder, limits=Limits(models=models)) as app:
            asking = Asking(app)
            session = await asking.session()
            both = [await asking.model(session, n, seed=n) for n in range(2)]
            found: list[list[float]] = [[], []]
            for _ in range(4):
                for n, model in enumerate(both):
                    output = await asking.learn(model, [datum(HELLO)])
                    found[n].append(output.metrics["loss:sum"])
                    await asking.step(model)
            return found

    one = asyncio.run(losses(1, tmp_path / "one"))
    assert one == asyncio.run(losses(2, tmp_path / "two"))
    assert one[0][-1] < one[0][0]
