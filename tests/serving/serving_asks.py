"""Ways to ask a server: the real client, and bytes on a socket that no client would send."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from openai import OpenAI

from customize.serving.server import Server

CHAT: Mapping[str, Any] = {"model": "mine", "messages": [{"role": "user", "content": "Hello"}]}


def client_of(server: Server, key: str = "none") -> OpenAI:
    return OpenAI(base_url=server.url, api_key=key, max_retries=0, timeout=20)


@attrs.frozen
class Answered:
    """A response as it stood on the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """What clients of OpenAI's interface raise of it."""
        told: dict[str, Any] = json.loads(self.body)["error"]
        return told


def address_of(server: Server) -> tuple[str, int]:
    host, port = server.url.removeprefix("http://").removesuffix("/v1").split(":")
    return host, int(port)


def connect(server: Server) -> socket.socket:
    return socket.create_connection(address_of(server), timeout=20)


def head_of(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def ask(
    server: Server,
    path: str = "/v1/chat/completions",
    body: object = None,
    method: str = "POST",
    raw: bytes | None = None,
    **headers: str,
) -> Answered:
    """One request on a connection of its own; underscores of headers' names are dashes."""
    sent = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    usual = {"Host": "127.0.0.1", "Content-Type": "application/json", "Connection": "close"}
    own = {**usual, "Content-Length": str(len(sent)), **given}
    with connect(server) as wire:
        wire.sendall(head_of(method, path, own) + sent)
        return read(wire)


def read(wire: socket.socket) -> Answered:
    """What comes until the server closes the connection."""
    received = b""
    try:
        while part := wire.recv(65536):
            received += part
    except ConnectionResetError:  # it did not read all that was sent
        pass
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in lines)}
    return Answered(int(first.split()[1]), headers, body)


def soon(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether it comes to hold."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
