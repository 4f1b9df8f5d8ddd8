"""An operation is done once, in its turn, whatever happens to its request, its client or us."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from wire_client import HELLO, KEY, Asking, NotBegun, OperationFailed, datum, serving

from customize import AdamW, Batch, CrossEntropy, LoRA, ModelFolder
from customize.testing import ToyBackend
from customize.testing.toy import ToySession
from customize_tinker import endpoints, training
from customize_tinker.app import App
from customize_tinker.requests import ForwardBackward, encode_forward_backward
from customize_tinker.responses import decode_output

STEPS = 6


def expected_losses(steps: int = STEPS) -> list[float]:
    """The same work in process, without anything that could go wrong."""
    session = ToyBackend().load().open(LoRA(rank=4), seed=7)
    batch = Batch.from_sequences([(HELLO, {"weights": [0.0] + [1.0] * 7})])
    losses = []
    for _ in range(steps):
        losses.append(session.forward_backward(batch, CrossEntropy()).result().loss)
        session.optim_step(AdamW(lr=0.1, eps=1e-12, max_grad_norm=0)).result()
    return losses


def fb_body(model: str, seq: int) -> bytes:
    return encode_forward_backward(ForwardBackward(model, seq, [datum(HELLO)], "cross_entropy", {}))


def step_body(model: str, seq: int) -> bytes:
    value = {"model_id": model, "seq_id": seq, "adam_params": {"learning_rate": 0.1}}
    return json.dumps(value).encode()


def requests_of(model: str) -> list[tuple[str, bytes]]:
    """A forward_backward and a step, STEPS times, as (endpoint, body)."""
    out = []
    for n in range(STEPS):
        out.append(("forward_backward", fb_body(model, 2 * n + 1)))
        out.append(("optim_step", step_body(model, 2 * n + 2)))
    return out


async def losses_of(asking: Asking, model: str) -> list[float]:
    found = [await asking.result(f"{model}:{2 * n + 1}") for n in range(STEPS)]
    return [decode_output(one.body).metrics["loss:sum"] for one in found]


@pytest.mark.parametrize("seed", range(3))
def test_requests_out_of_order_and_twice_are_done_in_order_and_once(
    tmp_path: Path, seed: int
) -> None:
    async def through_the_server() -> list[float]:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            sent = requests_of(model) * 2
            random.Random(seed).shuffle(sent)
            for endpoint, body in sent:
                assert (await asking.request("POST", endpoint, body)).status == 200
            return await losses_of(asking, model)

    assert asyncio.run(through_the_server()) == expected_losses()


def test_a_step_that_comes_again_after_its_result_changes_nothing(tmp_path: Path) -> None:
    async def through_the_server() -> list[float]:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            for endpoint, body in requests_of(model):
                said = (await asking.request("POST", endpoint, body)).json
                await asking.result(said["request_id"])
                again = (await asking.request("POST", endpoint, body)).json
                assert again == said
            return await losses_of(asking, model)

    assert asyncio.run(through_the_server()) == expected_losses()


@pytest.mark.parametrize("commands", [1000, 3])
def test_a_restarted_server_goes_on_where_it_was(
    tmp_path: Path, commands: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it replays the whole journal or begins at a saved state."""
    monkeypatch.setattr(training, "_LONG_COMMANDS", commands)

    async def through_servers() -> list[float]:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            sent = requests_of(model)
            for endpoint, body in sent[:7]:
                said = (await asking.request("POST", endpoint, body)).json
            await asking.result(said["request_id"])
        async with serving(tmp_path) as app:
            asking.app = app
            for endpoint, body in sent[5:]:  # two of them were done
                assert (await asking.request("POST", endpoint, body)).status == 200
            return await losses_of(asking, model)

    assert asyncio.run(through_servers()) == expected_losses()


def test_what_waits_for_an_earlier_operation_waits_through_a_restart(tmp_path: Path) -> None:
    async def through_servers() -> list[float]:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            sent = requests_of(model)
            for endpoint, body in sent[1:]:
                assert (await asking.request("POST", endpoint, body)).status == 200
        async with serving(tmp_path) as app:
            asking.app = app
            assert (await asking.request("POST", *sent[0])).status == 200
            return await losses_of(asking, model)

    assert asyncio.run(through_servers()) == expected_losses()


def test_checkpoints_and_unnamed_samplers_are_there_after_a_restart(tmp_path: Path) -> None:
    async def through_servers() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            session = await asking.session()
            model = await asking.model(session)
            await asking.learn(model, [datum(HELLO)])
            await asking.step(model, 1.0)
            saved = await asking.do("save_weights", model, path="first")
            kept = await asking.do("save_weights_for_sampler", model, sampling_session_seq_id=0)
            before = await asking.sample(kept["sampling_session_id"], HELLO[:2])
        async with serving(tmp_path) as app:
            asking.app = app
            after = await asking.sample(kept["sampling_session_id"], HELLO[:2], seq=1)
            assert after.completions[0].tokens.tolist() == before.completions[0].tokens.tolist()
            await asking.do("load_weights", model, path=saved["path"], optimizer=True)
            again = await asking.do("save_weights", model, path="second")
            assert again["path"].endswith("/weights/second")

    asyncio.run(through_servers())


def test_the_end_of_a_journal_that_a_kill_left_half_written_is_cut_off(tmp_path: Path) -> None:
    async def through_servers() -> list[float]:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            sent = requests_of(model)
            for endpoint, body in sent[:4]:
                await asking.result(
                    (await asking.request("POST", endpoint, body)).json["request_id"]
                )
        (file,) = tmp_path.rglob("journal-*.log")
        file.write_bytes(file.read_bytes()[:-5])
        async with serving(tmp_path) as app:
            asking.app = app
            for endpoint, body in sent[3:]:
                assert (await asking.request("POST", endpoint, body)).status == 200
            return await losses_of(asking, model)

    assert asyncio.run(through_servers()) == expected_losses()


def test_a_mistake_of_the_server_is_its_own_and_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operation fails with 200, whose fault it is is said and no more, and others go on; after
    a restart it has failed still, though this time it would not.
    """
    whole = ToySession.forward_backward
    calls = 0

    def third_fails(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise RuntimeError("what is nobody's business")
        return whole(*given)

    monkeypatch.setattr(ToySession, "forward_backward", third_fails)

    async def failure(asking: Asking, id: str) -> tuple[str, str]:
        with pytest.raises(OperationFailed) as failed:
            await asking.result(id)
        return failed.value.category, str(failed.value)

    async def through_servers() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            for endpoint, body in requests_of(model)[:8]:
                assert (await asking.request("POST", endpoint, body)).status == 200
            said = await failure(asking, f"{model}:5")
            assert said == ("server", "RuntimeError on the server: see its log")
            before = await asking.result(f"{model}:7")
        async with serving(tmp_path) as app:
            asking.app = app
            assert await failure(asking, f"{model}:5") == said
            assert (await asking.result(f"{model}:7")).body == before.body

    asyncio.run(through_servers())


def test_a_folder_is_one_servers_and_one_models(tmp_path: Path) -> None:
    async def through_servers() -> None:
        async with serving(tmp_path):
            with pytest.raises(NotBegun, match="is in use by the process"):
                async with serving(tmp_path):
                    pass
        other = ModelFolder(tmp_path / "model", "other", "another fingerprint")
        with pytest.raises(NotBegun, match="begun with another model"):
            async with serving(tmp_path, model=other):
                pass

    asyncio.run(through_servers())


def test_a_result_that_takes_long_is_asked_for_again_and_then_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "_LONG_POLL_S", 0.02)

    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            await asking.request("POST", "optim_step", step_body(model, 2))
            waited = await asking.post("retrieve_future", {"request_id": f"{model}:2"})
            assert waited.status == 408
            assert waited.json["type"] == "try_again"
            await asking.request("POST", "forward_backward", fb_body(model, 1))
            assert (await asking.result(f"{model}:2")).json["metrics"]["grad_norm"] > 0

    asyncio.run(through_the_server())


def test_one_request_is_enough_for_a_client_that_prefers_to_wait(tmp_path: Path) -> None:
    async def through_the_server() -> float:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            sent = ("POST", "forward_backward", fb_body(model, 1), {"prefer": "wait"})
            first, again = await asking.request(*sent), await asking.request(*sent)
            assert first.body == again.body
            return decode_output(first.body).metrics["loss:sum"]

    assert asyncio.run(through_the_server()) == expected_losses()[0]


def test_what_comes_after_an_operation_that_never_comes_fails_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a client dies between two requests; also after a restart, and others go on."""
    monkeypatch.setattr(training, "_GAP_S", 0.05)

    async def through_servers() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            for seq in (2, 4):
                await asking.request("POST", "optim_step", step_body(model, seq))
            for seq in (2, 4):
                with pytest.raises(OperationFailed, match="operation 1 never came"):
                    await asking.result(f"{model}:{seq}")
            done = await asking.request("POST", "forward_backward", fb_body(model, 5))
            first = decode_output((await asking.result(done.json["request_id"])).body)
        async with serving(tmp_path) as app:
            asking.app = app
            with pytest.raises(OperationFailed, match="operation 1 never came"):
                await asking.result(f"{model}:4")
            again = decode_output((await asking.result(f"{model}:5")).body)
            assert again.metrics == first.metrics
            await asking.request("POST", "optim_step", step_body(model, 6))
            assert (await asking.result(f"{model}:6")).json["metrics"]["grad_norm"] > 0

    asyncio.run(through_servers())


def test_a_client_that_dies_anywhere_leaves_every_step_to_be_taken_once(tmp_path: Path) -> None:
    """In the middle of its request, before the answer, and while it waits for a result; another
    that goes on for it sends everything anew.
    """

    async def through_the_server() -> list[float]:
        async with serving(tmp_path) as app:
            dying, other = Asking(app), Asking(app)
            model = await dying.model(await dying.session())
            for endpoint, body in requests_of(model):
                assert (await cut(app, endpoint, body[: len(body) // 2])) == 400
                lost = asyncio.create_task(dying.request("POST", endpoint, body))
                await asyncio.sleep(0)
                lost.cancel()
                said = (await dying.request("POST", endpoint, body)).json
                waiting = asyncio.create_task(dying.result(said["request_id"]))
                await asyncio.sleep(0)
                waiting.cancel()
                assert (await other.request("POST", endpoint, body)).json == said
            return await losses_of(other, model)

    assert asyncio.run(through_the_server()) == expected_losses()


async def cut(app: App, endpoint: str, body: bytes) -> int:
    """The status that nobody hears: the connection ends after this much of the body."""
    headers = {"host": "127.0.0.1:8000", "x-api-key": KEY}
    parts: Iterator[Mapping[str, Any]] = iter(
        [{"type": "http.request", "body": body, "more_body": True}, {"type": "http.disconnect"}]
    )
    sent: list[Mapping[str, Any]] = []

    async def receive() -> Mapping[str, Any]:
        return next(parts)

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        **{"type": "http", "method": "POST", "scheme": "http", "query_string": b""},
        "path": f"/api/v1/{endpoint}",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    }
    await app(scope, receive, send)
    return int(sent[0]["status"])


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Process:
    """A server of its own, to be killed."""

    def __init__(self, folder: Path, port: int) -> None:
        script = Path(__file__).with_name("toy_server.py")
        self._port = port
        self._process = subprocess.Popen([sys.executable, str(script), str(folder), str(port)])
        for _ in range(600):
            if self._is_up():
                return
            time.sleep(0.1)
        raise AssertionError("the server did not begin")

    def _is_up(self) -> bool:
        try:
            return self.ask("GET", "healthz")[0] == 200
        except OSError:
            return False

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request(method, f"/api/v1/{path}", body, {"X-API-Key": KEY})
        response = connection.getresponse()
        found = response.status, response.read()
        connection.close()
        return found

    def told(self, path: str, body: bytes) -> dict[str, str]:
        status, answer = self.ask("POST", path, body)
        assert status == 200, answer
        found: dict[str, str] = json.loads(answer)
        return found

    def result(self, request_id: str) -> bytes:
        status, answer = self.ask(
            "POST", "retrieve_future", json.dumps({"request_id": request_id}).encode()
        )
        assert status == 200, answer
        return answer

    def kill(self) -> None:
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    begun: list[Process] = []
    yield begun
    for process in begun:
        process.kill()


def test_a_killed_server_steps_once(tmp_path: Path, port: int, processes: list[Process]) -> None:
    """Killed with a step taken on and not told, and one told: neither is lost, nor done twice."""
    server = Process(tmp_path, port)
    processes.append(server)
    session = server.told("create_session", b'{"tags": [], "sdk_version": "1"}')["session_id"]
    create = {"session_id": session, "model_seq_id": 0, "base_model": "toy"}
    lora = {"lora_config": {"rank": 4, "seed": 7}}
    made = server.told("create_model", json.dumps({**create, **lora}).encode())
    model = json.loads(server.result(made["request_id"]))["model_id"]
    sent = requests_of(model)
    for endpoint, body in sent[:5]:
        last = server.told(endpoint, body)
    server.result(last["request_id"])
    server.told(*sent[5])
    server.kill()

    processes[:] = [server := Process(tmp_path, port)]
    server.result(f"{model}:6")
    for endpoint, body in sent[5:]:
        server.told(endpoint, body)
    found = [decode_output(server.result(f"{model}:{2 * n + 1}")) for n in range(STEPS)]
    assert [output.metrics["loss:sum"] for output in found] == expected_losses()
