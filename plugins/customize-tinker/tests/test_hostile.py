"""What cannot be read is refused at once, with what to do; nothing is written outside."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wire_client import HELLO, KEY, Asking, OperationFailed, datum, floats, serving

from customize_tinker.app import App
from customize_tinker.endpoints import ENDPOINTS
from customize_tinker.limits import Limits
from customize_tinker.requests import Datum, ForwardBackward, encode_forward_backward
from customize_tinker.tensors import Tensor
from customize_tinker.wire import WireError, Writer, as_int, fields


def test_bytes_that_are_no_request_are_refused_at_once(tmp_path: Path) -> None:
    rng = random.Random(0)
    whole = encode_forward_backward(
        ForwardBackward("a" * 32 + ":train:0", 1, [datum(HELLO)], "cross_entropy", {"x": 1.0})
    )
    bodies = [rng.randbytes(n) for n in range(1, 60)]
    bodies += [whole[:n] for n in range(1, len(whole))]
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        bodies.append(bytes(damaged))

    async def through_the_server() -> set[int]:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            sent = [await asking.request("POST", "forward_backward", body) for body in bodies]
            return {found.status for found in sent}

    assert asyncio.run(through_the_server()) <= {404, 422}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"model_id": NaN}',
        b'{"model_id": 5, "seq_id": 1}',
        b'{"model_id": "x", "seq_id": 1e400}',
        b'{"model_id": "x", "seq_id": ' + b"9" * 5000 + b"}",
        b'{"model_id": "x", "seq_id": -1}',
        b'{"model_id": "x", "seq_id": true}',
        b"[" * 100_000,
        b'{"model_id": "../../x", "seq_id": 1}',
        b'{"model_id": "%2e%2e:train:0", "seq_id": 1}',
    ],
)
def test_json_that_says_nothing_is_refused_at_once(tmp_path: Path, body: bytes) -> None:
    async def through_the_server() -> int:
        async with serving(tmp_path) as app:
            return (await Asking(app).request("POST", "optim_step", body)).status

    assert asyncio.run(through_the_server()) in (404, 422)


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "..", "%2e%2e", "a\0b", "CON", "nul.txt", "x" * 4096, "-rf", "", "é"]
)
def test_a_name_that_is_no_files_name_fails_and_takes_its_turn(tmp_path: Path, name: str) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            with pytest.raises(OperationFailed, match="is no name"):
                await asking.do("save_weights", model, path=name)
            await asking.do("save_weights", model, path="fine")

    asyncio.run(through_the_server())
    assert {path.name for path in tmp_path.iterdir()} == {"kept"}


@pytest.mark.parametrize(
    ("adam", "message"),
    [
        ({"learning_rate": -1}, "lr must be"),
        ({"beta1": 1.5}, "beta1 must be"),
        ({"learning_rate": "fast"}, "must be a number"),
        ({"momentum": 0.9}, "does not know adam_params.momentum"),
    ],
)
def test_a_setting_out_of_bounds_fails_and_takes_its_turn(
    tmp_path: Path, adam: dict[str, object], message: str
) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            with pytest.raises(OperationFailed, match=message):
                await asking.do("optim_step", model, adam_params=adam)
            await asking.step(model)

    asyncio.run(through_the_server())


def test_data_that_do_not_fit_fail_and_say_why(tmp_path: Path) -> None:
    cases = [
        (datum(HELLO, weights=[1.0]), "1 entries for 7 tokens"),
        (datum(HELLO, weights=[[1.0]] * 7), "shape \\[7, 1\\]"),
        (datum(HELLO, mask=[1.0] * 7), "has the inputs mask"),
        (datum([0, 10**6]), "tokens are 0 to"),
        (datum([0, 2**32 + 5]), "whole numbers from 0 to 2147483647"),
        (Datum(datum([1, 2]).tokens, {"target_tokens": floats([2.5])}), "whole numbers"),
        (Datum(datum([1]).tokens, {"target_tokens": floats([])}), "no tokens"),
    ]

    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            for one, message in cases:
                with pytest.raises(OperationFailed, match=message):
                    await asking.learn(model, [one])
            picture = _with_picture(model, asking.next(model))
            sent = await asking.request("POST", "forward_backward", picture)
            with pytest.raises(OperationFailed, match="holds an image"):
                await asking.result(sent.json["request_id"])
            assert (await asking.learn(model, [datum(HELLO)])).metrics["loss:sum"] > 0

    asyncio.run(through_the_server())


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_is_not_taken(tmp_path: Path, weight: float) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            before = await asking.learn(model, [datum(HELLO)], forward_only=True)
            await asking.learn(model, [datum(HELLO, weights=[weight] * 7)])
            with pytest.raises(OperationFailed, match="gradient's norm is"):
                await asking.step(model)
            after = await asking.learn(model, [datum(HELLO)], forward_only=True)
            assert after.metrics == before.metrics

    asyncio.run(through_the_server())


def _with_picture(model: str, seq: int) -> bytes:
    chunk = Writer().message(2, Writer().blob(1, b"...").text(2, "png"))
    message = Writer().text(1, model).varint(2, seq).text(4, "cross_entropy")
    return message.message(3, Writer().message(1, chunk)).done()


def test_targets_that_would_grow_beyond_the_limit_are_refused_before_they_do(
    tmp_path: Path,
) -> None:
    """None of them is the next token, so each would get a sequence of its own."""
    tokens = np.zeros(5000, np.int32)
    targets = Tensor(np.ones(5000, np.int64), (5000,))

    async def through_the_server() -> None:
        async with serving(tmp_path, limits=Limits(tokens=100_000)) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            with pytest.raises(OperationFailed, match="more than 100000 tokens"):
                await asking.learn(model, [Datum(tokens, {"target_tokens": targets})])

    asyncio.run(through_the_server())


def test_a_body_that_is_too_large_is_refused(tmp_path: Path) -> None:
    async def through_the_server() -> tuple[int, int]:
        async with serving(tmp_path, limits=Limits(body_mb=1)) as app:
            asking = Asking(app)
            whole = await asking.request("POST", "telemetry", b"x" * (2 << 20))
            lying = await asking.request(
                "POST", "telemetry", b"x" * (2 << 20), {"content-length": "5"}
            )
            return whole.status, lying.status

    assert asyncio.run(through_the_server()) == (413, 413)


def test_a_page_in_a_browser_is_refused(tmp_path: Path) -> None:
    async def through_the_server() -> list[int]:
        async with serving(tmp_path) as app:
            sent: list[dict[str, str]] = [
                {"host": "evil.example"},
                {"host": "127.0.0.1:8000", "origin": "http://evil.example"},
                {"host": "localhost:8000"},
            ]
            asking = Asking(app)
            return [(await asking.request("GET", "sessions", b"", h)).status for h in sent]

    assert asyncio.run(through_the_server()) == [403, 403, 200]


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "FOO")
PATHS = sorted({re.sub(r"[()]", "", e.path) for e in ENDPOINTS})


@pytest.mark.parametrize("key", ["", "tml-a-key-of-nobody"])
def test_every_method_on_every_route_is_refused_without_the_key(tmp_path: Path, key: str) -> None:
    """But for the sign of life, and files, whose addresses are signed."""

    async def through_the_server() -> set[tuple[str, str, int]]:
        async with serving(tmp_path, tokens=("tml-12345678",)) as app:
            asking, found = Asking(app, key), set()
            for path in PATHS:
                asked = path.replace("[^/]+", "x").replace(".+", "x").lstrip("/")
                for method in METHODS:
                    status = (await asking.request(method, asked, b"{}")).status
                    if status not in (401, 405):
                        found.add((method, asked, status))
            return found

    opened = {("GET", "healthz", 200), ("GET", "files/x/x/x/x/x", 404)}
    assert asyncio.run(through_the_server()) == opened
    assert len(PATHS) > 30


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"session_id": -1, "model_id": -1, "seq_id": -1, "limit": -1}',
        b'{"seq_id": 9223372036854775808, "limit": 9223372036854775808, "model_id": "x"}',
        b'{"seq_id": NaN}',
        b'{"request_id": null, "session_id": {}, "tinker_path": [], "target": 5, "project_id": 7}',
    ],
)
def test_no_route_makes_a_mistake_of_what_it_is_sent(tmp_path: Path, body: bytes) -> None:
    """A 500 would be taken for a reason to send it again, for minutes."""

    async def through_the_server() -> list[tuple[str, str]]:
        async with serving(tmp_path) as app:
            asking, wrong = Asking(app), []
            for path in PATHS:
                asked = path.replace("[^/]+", "x").replace(".+", "x").lstrip("/")
                for method in METHODS:
                    found = await asking.request(method, asked, body)
                    if found.status >= 500 or found.status in (408, 409, 429):
                        wrong.append((method, asked))
            return wrong

    assert asyncio.run(through_the_server()) == []


def test_a_body_of_a_gigabyte_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """One that says so at its head; one that does not as soon as it is too much."""
    taken = 0

    async def receive() -> Mapping[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b"x" * (1 << 20), "more_body": taken < 1024}

    async def status_of(app: App, headers: dict[str, str]) -> int:
        sent: list[Mapping[str, Any]] = []

        async def send(message: Mapping[str, Any]) -> None:
            sent.append(message)

        given = {"host": "127.0.0.1:8000", "x-api-key": KEY, **headers}
        scope = {
            **{"type": "http", "method": "POST", "scheme": "http", "query_string": b""},
            "path": "/api/v1/forward_backward",
            "headers": [(k.encode(), v.encode()) for k, v in given.items()],
        }
        await app(scope, receive, send)
        return int(sent[0]["status"])

    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            assert await status_of(app, {"content-length": str(1 << 30)}) == 413
            assert taken == 0
            assert await status_of(app, {}) == 413
            assert taken == 65  # of a limit of 64 MB

    asyncio.run(through_the_server())


def test_methods_and_paths_that_are_not_there_are_said_so(tmp_path: Path) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"):
                assert (await asking.request(method, "optim_step")).status == 405
            assert (await asking.request("GET", "billing/usage")).status == 404
            assert (await asking.request("POST", "telemetry", b"not even JSON")).status == 200

    asyncio.run(through_the_server())


def test_a_query_of_too_much_is_refused(tmp_path: Path) -> None:
    async def through_the_server() -> list[int]:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            queries = ["&".join(f"a{n}=1" for n in range(99)), "limit=-1", "limit=1e9", "offset=x"]
            sent = [await asking.request("GET", f"training_runs?{query}") for query in queries]
            return [found.status for found in sent]

    assert set(asyncio.run(through_the_server())) == {422}


def test_a_number_that_does_not_end_is_no_protobuf() -> None:
    with pytest.raises(WireError, match="does not end"):
        list(fields(memoryview(b"\x80" * 20)))
    with pytest.raises(WireError, match="where 0 are left"):
        list(fields(memoryview(Writer().blob(1, b"abc").done()[:-3])))
    ((number, _, value),) = fields(memoryview(Writer().varint(3, -1).done()))
    assert (number, as_int(value)) == (3, -1)
