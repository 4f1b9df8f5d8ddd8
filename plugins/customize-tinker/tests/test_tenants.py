"""Keys are tenants: nothing of another's is named, listed, loaded or held up."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import click
import pytest
from wire_client import HELLO, Asking, OperationFailed, datum, serving

from customize import OptionError
from customize_tinker.__main__ import command
from customize_tinker.asking import Endpoint
from customize_tinker.endpoints import ENDPOINTS
from customize_tinker.limits import Limits
from customize_tinker.requests import ForwardBackward, encode_forward_backward
from customize_tinker.tenants import check_keys

OTHER = [1, 2, 3, 4, 5, 6]
Request = tuple[str, str, Any]  # method, path, and a body: bytes, any JSON, or none
NODES: list[dict[str, Any]] = [
    {"op": op, "name": op, "target": target, "args": args, "kwargs": {}}
    for op, target, args in (
        ("placeholder", "logprobs", []),
        ("call_method", "sum", [{"ref": "placeholder"}]),
        ("output", "output", [{"tuple": [{"ref": "call_method"}, {"dict": {}}]}]),
    )
]
LOSS = {
    **{"custom_loss_seq_id": 0, "name": "mine", "inputs": [{"name": "logprobs", "rank": 1}]},
    "graph": {"format": 1, "nodes": NODES},
}


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


@attrs.frozen
class Kept:
    """All of one tenant's that has an id."""

    session: str
    model: str
    sampler: str
    loss: str

    @classmethod
    async def of(cls, owner: Asking) -> Kept:
        session = await owner.session()
        model = await owner.model(session)
        await owner.learn(model, [datum(HELLO)])
        await owner.step(model)
        for kind in ("save_weights", "save_weights_for_sampler", "save_weights_external"):
            await owner.do(kind, model, path="mine")
        named = {"sampling_session_seq_id": 0}
        kept = await owner.do("save_weights_for_sampler", model, **named)
        sampler = kept["sampling_session_id"]
        await owner.sample(sampler, HELLO)
        made = await owner.told("create_custom_loss", session_id=session, **LOSS)
        loss = (await owner.result(made["request_id"])).json["loss_id"]
        return cls(session, model, sampler, loss)

    def ghost(self) -> Kept:
        """Ids like these, of nothing."""
        return attrs.evolve(
            self, **{name: self.forget(id) for name, id in attrs.asdict(self).items()}
        )

    def forget(self, text: str) -> str:
        return text.replace(self.session, "0" * 32)


def attempts(on: Kept, own_session: str, own: str, seq: int) -> Iterator[Request]:
    """Each request that may name what is another's, with nothing else that is wrong with it.

    own: a model of whom asks, whose next operations are seq and so on.
    """
    prompt = {"chunks": [{"type": "encoded_text", "tokens": HELLO}]}
    of_session, of_model = {"session_id": on.session}, {"model_id": on.model, "seq_id": 8}
    run, path = f"training_runs/{on.model}", f"tinker://{on.model}/weights/mine"
    yield "POST", "session_heartbeat", of_session
    yield "POST", f"sessions/{on.session}/finish", {}
    yield "PUT", f"sessions/{on.session}/project", {"project_id": "mine now"}
    yield "GET", f"sessions/{on.session}", None
    yield "POST", "create_model", {**of_session, "model_seq_id": 0, "base_model": "toy"}
    yield "POST", "create_model", {**of_session, "model_seq_id": 1, "base_model": "toy"}
    yield "POST", "load_weights", {**of_session, "model_seq_id": 1, "path": path}
    yield "POST", "load_weights", {**of_model, "path": path}
    yield "POST", "load_weights", {"model_id": own, "seq_id": seq, "path": path}
    yield "POST", "load_weights", {"session_id": own_session, "model_seq_id": 1, "path": path}
    asked = ForwardBackward(on.model, 8, [datum(HELLO)], "cross_entropy", {})
    yield "POST", "forward_backward", encode_forward_backward(asked)
    by_loss = ForwardBackward(own, seq + 1, [datum(HELLO)], "custom", {"loss_id": on.loss})
    yield "POST", "forward_backward", encode_forward_backward(by_loss)
    yield "POST", "create_custom_loss", {**of_session, **LOSS}
    yield "POST", "optim_step", of_model
    for kind in ("save_weights", "save_weights_for_sampler", "save_weights_external"):
        yield "POST", kind, {**of_model, "path": "theirs"}
    yield "POST", "save_weights_for_sampler", {**of_model, "sampling_session_seq_id": 1}
    yield "POST", "get_info", {"model_id": on.model}
    yield "POST", "weights_info", {"tinker_path": path}
    yield "POST", "copy_weights", {"source_path": path}
    begins = {"sampling_session_seq_id": 2}
    yield "POST", "create_sampling_session", {**of_session, **begins, "base_model": "toy"}
    taken = {"session_id": own_session, "model_path": path}
    yield "POST", "create_sampling_session", {**taken, **begins}
    yield "POST", "join_sampling_session", {"sampling_session_id": on.sampler}
    yield "GET", f"samplers/{on.sampler}", None
    yield "POST", "asample", {"sampling_session_id": on.sampler, "seq_id": 1, "prompt": prompt}
    for request_id in (f"{on.model}:1", f"{on.model}:99", f"{on.sampler}:0", on.loss):
        yield "POST", "retrieve_future", {"request_id": request_id}
    target = {"type": "sampling_session", "sampling_session_id": on.sampler}
    target_of_first = {**target, "cloned_sampler_id": 0}
    yield "POST", "retrieve_futures", {"target": target_of_first, "timeout": 0}
    yield "POST", "cancel_future", {"request_id": f"{on.sampler}:0"}
    yield "GET", run, None
    yield "GET", f"{run}/checkpoints", None
    for kind in ("weights", "sampler_weights", "external_weights"):
        checkpoint = f"{run}/checkpoints/{kind}/mine"
        yield "DELETE", checkpoint, None
        yield "PUT", f"{checkpoint}/ttl", {"ttl_seconds": 1}
        yield "POST", f"{checkpoint}/publish", {}
        yield "DELETE", f"{checkpoint}/publish", None
        yield "GET", f"{checkpoint}/archive", None
    yield "GET", f"{checkpoint}/external_weights_urls", None


def test_nothing_of_another_tenant_is_reached_by_its_id(tmp_path: Path) -> None:
    """Each answer is the one for what never was, of every endpoint that takes an id; and nothing
    changed.
    """

    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            owner, thief = Asking(app), Asking(app, "tml-another-tenant")
            kept = await Kept.of(owner)
            before = await listed(owner)
            own = await thief.model(own_session := await thief.session())
            ghost = list(attempts(kept.ghost(), own_session, own, 1))
            expected = [await answer(thief, *one) for one in ghost]
            real = list(attempts(kept, own_session, own, 3))
            for one, (status, words) in zip(real, expected, strict=True):
                assert "there is no" in words or status == 410, (one, words)
                found, text = await answer(thief, *one)
                assert (found, kept.forget(text)) == (status, words), one
            tried = {endpoint_of(method, path) for method, path, _ in real}
            assert tried == {e for e in ENDPOINTS if not names_nothing(e)}
            for listing in (await listed(thief)).values():
                assert kept.session not in json.dumps(listing)
            assert await listed(owner) == before
            assert await owner.step(kept.model) == 0.0  # and the owner's goes on, undisturbed

    asyncio.run(through_the_server())


def names_nothing(endpoint: Endpoint) -> bool:
    """Whether there is no id in what it takes: it lists what is one's own, or is of the server;
    files are by signed addresses.
    """
    beginnings = ("/client/", "/audit", "/auth/", "/billing/", "/files/")
    others = {
        *("/healthz", "/telemetry", "/get_server_capabilities", "/create_session"),
        *("/sessions", "/sessions/search", "/sessions/[^/]+/trace_export"),
        *("/training_runs", "/checkpoints"),
    }
    return endpoint.path.startswith(beginnings) or endpoint.path in others


def endpoint_of(method: str, path: str) -> Endpoint:
    found = (e for e in ENDPOINTS if re.fullmatch(e.path, f"/{path}") and e.method == method)
    return next(found)


async def answer(asking: Asking, method: str, path: str, value: Any) -> tuple[int, str]:
    """Status and words; an operation that was taken on is asked for its result, which fails."""
    body = value if isinstance(value, bytes) else b"" if value is None else encoded(value)
    found = await asking.request(method, path, body)
    if found.status == 200 and "request_id" in found.json:
        with pytest.raises(OperationFailed) as failed:
            await asking.result(found.json["request_id"])
        return 404, str(failed.value)
    return found.status, found.body.decode()


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


async def listed(asking: Asking) -> dict[str, Any]:
    """All that a tenant has, but for when it was last asked for."""
    found: dict[str, Any] = {}
    for path in ("training_runs", "checkpoints", "sessions"):
        found[path] = (await asking.request("GET", path)).json[path]
    for run in found["training_runs"]:
        del run["last_request_time"]
    found["search"] = (await asking.post("sessions/search", {})).json["sessions"]
    return found


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
