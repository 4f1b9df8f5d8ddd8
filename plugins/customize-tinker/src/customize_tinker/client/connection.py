"""Requests to a service, and results of its operations. Knows no session."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import attrs

from customize import BackendError, DataError, NonFiniteError

T = TypeVar("T")
_TIMEOUT_S = 60.0  # a service holds what is not done for 35
_PATIENCE_S = 120.0  # with one that does not answer
_LATER = (408, 409, 425, 429, 500, 502, 503, 504)


class Connection:
    """One connection, kept; a request that may be sent again is, since operations have numbers."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self._kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._place = parts.netloc
        self._prefix = f"{parts.path.rstrip('/')}/api/v1/"
        self._headers = {"X-API-Key": key, "Accept": "application/x-protobuf, application/json"}
        self._open: HTTPConnection | None = None

    def told(self, path: str, value: Mapping[str, Any]) -> dict[str, Any]:  # any JSON
        """What is answered to a JSON request."""
        _, body = self.post(path, json.dumps(value).encode(), "application/json")
        found: dict[str, Any] = json.loads(body)
        return found

    def post(self, path: str, body: bytes, media: str) -> tuple[str, bytes]:
        """Media type and body of the answer.

        Raises:
            BackendError: it refuses, or does not answer for two minutes.
        """
        return self._ask("POST", self._prefix + path, body, {"Content-Type": media})

    def get(self, path: str) -> bytes:
        return self._ask("GET", self._prefix + path, b"", {})[1]

    def download(self, url: str) -> bytes:
        """A file at an address that the service gave, which needs no key."""
        other = Connection(url, "")
        other._headers = {}
        parts = urlsplit(url)
        return other._ask("GET", f"{parts.path}?{parts.query}", b"", {})[1]

    def result(self, request_id: str) -> tuple[str, bytes]:
        """Wait for an operation.

        Raises:
            DataError, NonFiniteError, BackendError: it failed.
        """
        media, body = self.post(
            "retrieve_future", json.dumps({"request_id": request_id}).encode(), "application/json"
        )
        if "protobuf" in media:
            return media, body
        told = json.loads(body)
        if told.get("type") == "try_again":
            return self.result(request_id)
        if "error" in told:
            raise _failure(told["error"], told.get("category"))
        return media, body

    def _ask(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[str, bytes]:
        began, pause_s = time.monotonic(), 0.05
        while True:
            try:
                status, media, answer = self._once(method, path, body, headers)
            except (OSError, HTTPException) as error:
                status, media, answer = 503, "", f"no answer: {error}".encode()
                self._open = None
            if status == 200:
                return media, answer
            if status == 408:  # it held the request for as long as it does
                began = time.monotonic()
                continue
            if status not in _LATER or time.monotonic() - began > _PATIENCE_S:
                said = answer[:500].decode("utf-8", "replace")
                raise BackendError(f"the service answers {status} to {path}: {said}")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 5.0)

    def _once(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, str, bytes]:
        if self._open is None:
            self._open = self._kind(self._place, timeout=_TIMEOUT_S)
        self._open.request(method, path, body, {**self._headers, **headers})
        response = self._open.getresponse()
        return response.status, response.getheader("content-type", ""), response.read()


def _failure(message: str, category: str | None) -> Exception:
    if "gradient's norm is" in message:
        return NonFiniteError(message)
    return DataError(message) if category == "user" else BackendError(message)


@attrs.define(eq=False)
class Pending(Generic[T]):
    """An operation that was sent. read: makes the value of the answer."""

    connection: Connection
    request_id: str
    read: Callable[[bytes], T]
    _value: list[T] = attrs.field(factory=list)

    def result(self) -> T:
        if not self._value:
            _, body = self.connection.result(self.request_id)
            self._value.append(self.read(body))
        return self._value[0]

    def done(self) -> bool:
        return bool(self._value)


@attrs.define(eq=False)
class Later(Generic[T]):
    """A value made of others' results when it is asked for."""

    make: Callable[[], T]
    _value: list[T] = attrs.field(factory=list)

    def result(self) -> T:
        if not self._value:
            self._value.append(self.make())
        return self._value[0]

    def done(self) -> bool:
        return bool(self._value)
