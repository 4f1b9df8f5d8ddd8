"""Clients that neither ask nor read, over real sockets: they are dropped, and hold up nobody."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from wire_client import KEY

from customize import ModelFolder
from customize.testing import ToyBackend
from customize_tinker import connection
from customize_tinker.server import Where, make_app, make_server

PATIENCE_S = 0.5
LARGE = 32 << 20


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(connection, "_HEAD_S", PATIENCE_S)
    monkeypatch.setattr(connection, "_READ_S", PATIENCE_S)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = Where(port=free.getsockname()[1])
    model = ModelFolder(tmp_path / "model", "toy", "toy")
    server = make_server(make_app(ToyBackend(), model, tmp_path / "kept", where), where)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield where.port
    finally:
        server.should_exit = True
        thread.join()


def asked(port: int, method: str, path: str, value: Any = None) -> Any:
    client = HTTPConnection("127.0.0.1", port, timeout=10)
    body = b"" if value is None else json.dumps(value).encode()
    client.request(method, f"/api/v1/{path}", body, {"X-API-Key": KEY})
    answer = client.getresponse()
    assert answer.status == 200
    told = json.loads(answer.read())
    client.close()
    return told


def taken(client: socket.socket) -> int:
    """Bytes until the connection ends."""
    client.settimeout(20)
    count = 0
    with suppress(ConnectionError):
        while data := client.recv(1 << 20):
            count += len(data)
    return count


def test_who_never_ends_a_head_is_dropped_however_it_drips(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET /api/v1/healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        began = time.monotonic()
        with suppress(ConnectionError):
            while True:
                client.sendall(b"X-Drip: 1\r\n")
                time.sleep(0.05)
        assert time.monotonic() - began > PATIENCE_S / 2


def test_who_takes_nothing_of_a_long_answer_is_dropped_and_others_are_answered(
    port: int, tmp_path: Path
) -> None:
    session = asked(port, "POST", "create_session", {"tags": []})["session_id"]
    create = {"session_id": session, "model_seq_id": 0, "base_model": "toy", "lora_config": {}}
    model = asked(port, "POST", "create_model", create)["model_id"]
    save = {"model_id": model, "seq_id": 1, "path": "out"}
    promised = asked(port, "POST", "save_weights_external", save)
    asked(port, "POST", "retrieve_future", promised)
    (folder,) = tmp_path.rglob("external_weights/out/adapter")
    (folder / "large.bin").write_bytes(bytes(LARGE))  # more than sockets hold
    place = f"training_runs/{model}/checkpoints/external_weights/out/external_weights_urls"
    url = urlsplit(asked(port, "GET", place)["urls"]["large.bin"])
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.connect(("127.0.0.1", port))
        request = f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
        client.sendall(request.encode())
        assert asked(port, "GET", "healthz") == {"status": "ok"}
        time.sleep(3 * PATIENCE_S)
        assert taken(client) < LARGE
