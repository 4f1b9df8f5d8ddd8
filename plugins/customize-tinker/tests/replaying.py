"""A service that answers as in recorded traffic, and knows what it was asked.

What is asked for is known by its place: an operation's number, or a result's id.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import attrs

from customize_tinker.requests import ForwardBackward, decode_forward_backward

TRAFFIC = Path(__file__).with_name("traffic")
PROTOBUF = "application/x-protobuf"


@attrs.define(eq=False)
class Replay:
    """asked: by place, each time anew. keys: that were sent along, by place."""

    made: dict[str, Any]
    url: str = ""
    asked: dict[str, list[Any]] = attrs.field(factory=lambda: defaultdict(list))
    keys: dict[str, str] = attrs.field(factory=dict)
    recorded: dict[str, deque[dict[str, Any]]] = attrs.field(factory=lambda: defaultdict(deque))
    expected: dict[str, list[Any]] = attrs.field(factory=lambda: defaultdict(list))


def exchanges(scene: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((TRAFFIC / f"{scene}.json").read_text("utf-8"))[
        "exchanges"
    ]
    return found


@contextmanager
def replaying(scene: str) -> Iterator[Replay]:
    """The recorded client let the size of a result be told first; ours does not, so it is not."""
    whole = json.loads((TRAFFIC / f"{scene}.json").read_text("utf-8"))
    replay = Replay(whole["made"])
    for one in whole["exchanges"]:
        replay.expected[one["place"]].append(one["asked"])
        if one["answer"] is None or one["answer"].get("status") != "complete_metadata":
            replay.recorded[one["place"]].append(one)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(replay))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    replay.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield replay
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(replay: Replay) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            path = self.path.removeprefix("/api/v1/")
            is_protobuf = self.headers["content-type"] == PROTOBUF
            body = as_json(decode_forward_backward(raw)) if is_protobuf else json.loads(raw)
            place = _place(path, body)
            replay.asked[place].append(body)
            replay.keys[place] = self.headers["x-api-key"]
            left = replay.recorded.get(place)
            if not left:
                self._send(404, b'{"detail": "this was not recorded"}', "application/json", {})
                return
            one = left.popleft()
            answer, media = json.dumps(one["answer"]).encode(), "application/json"
            if "protobuf" in (one["answer"] or {}):
                answer, media = base64.b64decode(one["answer"]["protobuf"]), PROTOBUF
            self._send(one["status"], answer, media, one["headers"])

        def _send(self, status: int, body: bytes, media: str, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, text in {"Content-Type": media, **headers}.items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Nothing: what was asked is kept."""

    return Handler


def _place(path: str, body: dict[str, Any]) -> str:
    number = body.get("request_id", body.get("seq_id", body.get("model_seq_id", "")))
    return f"{path} {number}".strip()


def as_json(asked: ForwardBackward) -> dict[str, Any]:
    """In the words of the recording, which the official client's own package read."""
    return {
        "model_id": asked.model_id,
        "seq_id": asked.seq,
        "loss_fn": asked.loss,
        "forward_only": asked.forward_only,
        "loss_fn_config": dict(asked.config),
        "data": [
            {
                "tokens": one.tokens.tolist(),
                "inputs": {
                    name: {
                        "dtype": tensor.values.dtype.name,
                        "shape": list(tensor.shape),
                        "values": tensor.values.tolist(),
                    }
                    for name, tensor in one.inputs.items()
                },
            }
            for one in asked.data
        ],
    }
