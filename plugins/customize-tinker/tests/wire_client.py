"""A small client of our own over the codec: in process, through ASGI, without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from customize import Backend, ModelFolder
from customize.testing import ToyBackend
from customize_tinker.app import App
from customize_tinker.forms import Forms
from customize_tinker.limits import Limits
from customize_tinker.requests import Datum, ForwardBackward, encode_forward_backward
from customize_tinker.responses import Output, Samples, decode_output, decode_samples
from customize_tinker.server import Where, make_app
from customize_tinker.tensors import Tensor

KEY = "tml-first-tenant"
HELLO = [3, 1, 4, 1, 5, 9, 2, 6]


@attrs.frozen
class Response:
    status: int
    media: str
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class NotBegun(Exception):
    """The server says why it does not begin."""


class OperationFailed(Exception):
    """The result of an operation says that it failed."""

    def __init__(self, error: str, category: str) -> None:
        super().__init__(error)
        self.category = category


@attrs.define(eq=False)
class Asking:
    """Speaks as one key. ``number`` counts a model's operations."""

    app: App
    key: str = KEY
    number: dict[str, int] = attrs.field(factory=dict)

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        sent = {"host": "127.0.0.1:8000", "x-api-key": self.key, **(headers or {})}
        parts = [{"type": "http.request", "body": body, "more_body": False}]
        got: list[Mapping[str, Any]] = []
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "scheme": "http",
            "path": f"/api/v1/{path}",
            "query_string": query.encode(),
            "headers": [(k.encode(), v.encode()) for k, v in sent.items()],
        }

        async def receive() -> Mapping[str, Any]:
            return parts.pop() if parts else {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            got.append(message)

        await self.app(scope, receive, send)
        media = dict(got[0]["headers"])[b"content-type"].decode()
        return Response(got[0]["status"], media, got[1]["body"])

    async def post(self, path: str, value: Mapping[str, Any]) -> Response:
        return await self.request("POST", path, json.dumps(value).encode())

    async def told(self, endpoint: str, /, **value: Any) -> dict[str, Any]:
        response = await self.post(endpoint, value)
        assert response.status == 200, response
        return response.json

    async def session(self) -> str:
        said = await self.told("create_session", tags=[], user_metadata=None, sdk_version="1")
        return str(said["session_id"])

    async def result(self, request_id: str) -> Response:
        """Raises OperationFailed."""
        while (
            found := await self.post("retrieve_future", {"request_id": request_id})
        ).status == 408:
            pass
        assert found.status == 200, found
        if found.media == "application/json" and "error" in found.json:
            raise OperationFailed(found.json["error"], found.json["category"])
        return found

    async def model(self, session: str, number: int = 0, rank: int = 4, seed: int = 7) -> str:
        said = await self.told(
            "create_model",
            session_id=session,
            model_seq_id=number,
            base_model="toy",
            lora_config={"rank": rank, "seed": seed},
        )
        made = await self.result(said["request_id"])
        return str(made.json["model_id"])

    def next(self, model: str) -> int:
        self.number[model] = self.number.get(model, 0) + 1
        return self.number[model]

    async def submit(self, request: ForwardBackward) -> str:
        response = await self.request("POST", "forward_backward", encode_forward_backward(request))
        assert response.status == 200, response
        return str(response.json["request_id"])

    async def learn(
        self,
        model: str,
        data: Sequence[Datum],
        loss: str = "cross_entropy",
        forward_only: bool = False,
        **config: float | str,
    ) -> Output:
        asked = ForwardBackward(model, self.next(model), data, loss, config, forward_only)
        return decode_output((await self.result(await self.submit(asked))).body)

    async def do(self, endpoint: str, model: str, /, **value: Any) -> dict[str, Any]:
        """An operation in JSON, and its result."""
        said = await self.told(endpoint, model_id=model, seq_id=self.next(model), **value)
        return (await self.result(said["request_id"])).json

    async def step(self, model: str, lr: float = 0.1, **adam: float) -> float:
        done = await self.do("optim_step", model, adam_params={"learning_rate": lr, **adam})
        return float(done["metrics"]["grad_norm"])

    async def sampler(self, session: str, number: int = 0, **of: str) -> str:
        said = await self.told(
            "create_sampling_session", session_id=session, sampling_session_seq_id=number, **of
        )
        return str(said["sampling_session_id"])

    async def sample(
        self,
        sampler: str,
        tokens: Sequence[int],
        n: int = 1,
        seq: int = 0,
        params: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Samples:
        said = await self.told(
            "asample",
            sampling_session_id=sampler,
            seq_id=seq,
            num_samples=n,
            prompt={"chunks": [{"type": "encoded_text", "tokens": list(tokens)}]},
            sampling_params={"max_tokens": 8, "seed": 5, **(params or {})},
            **more,
        )
        assert len(said["sample_sequence_ids"]) == n
        return decode_samples((await self.result(said["request_id"])).body)


def datum(tokens: Sequence[int], **inputs: Any) -> Datum:
    """Tokens that predict the next ones, with float inputs by name."""
    targets = Tensor(np.asarray(tokens[1:], np.int64), (len(tokens) - 1,))
    given = {"target_tokens": targets, **{k: floats(v) for k, v in inputs.items()}}
    return Datum(np.asarray(tokens[:-1], np.int32), given)


def floats(values: Any) -> Tensor:
    array = np.asarray(values, np.float32)
    return Tensor(array.reshape(-1), array.shape)


@asynccontextmanager
async def serving(
    folder: Path,
    backend: Backend | None = None,
    limits: Limits | None = None,
    model: ModelFolder | None = None,
    forms: Forms | None = None,
    **where: Any,
) -> AsyncIterator[App]:
    """The app, begun and ended as a server does; its model is called toy."""
    model = model or ModelFolder(folder / "model", "toy", "toy")
    backend, kept = backend or ToyBackend(), folder / "kept"
    app = make_app(backend, model, kept, Where(**where), ("toy",), limits, forms)
    messages = iter(["lifespan.startup", "lifespan.shutdown"])
    begun, ending = asyncio.Event(), asyncio.Event()
    failures: list[str] = []

    async def receive() -> Mapping[str, Any]:
        message = next(messages)
        if message == "lifespan.shutdown":
            await ending.wait()
        return {"type": message}

    async def send(message: Mapping[str, Any]) -> None:
        failures.extend([message["message"]] if "message" in message else [])
        begun.set()

    living = asyncio.create_task(app({"type": "lifespan"}, receive, send))
    await begun.wait()
    if failures:
        raise NotBegun(failures[0])
    try:
        yield app
    finally:
        ending.set()
        await living
