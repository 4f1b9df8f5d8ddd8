"""Requests to a service, and results of its operations. Knows no session."""

from __future__ import annotations

import itertools
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
_BUSY_S = 3600.0  # with one that says it has too much to do
_LONGEST_PAUSE_S = 60.0
_HELD_S = 1.0  # a service that says "later" sooner did not wait itself
_LATER = (409, 425, 429, 500, 502, 503, 504)
_GONE = 410
_TRIES = 5  # of a sample whose result is gone


class Refused(BackendError):
    """A service says no. status: of its answer; 0 where there was none."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@attrs.frozen
class _Answer:
    """headers: by names in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_for_later(self) -> bool:
        said = self.headers.get("x-should-retry")
        return said == "true" if said in ("true", "false") else self.status in _LATER

    def pause_s(self, otherwise: float) -> float:
        """How long it asks to be left alone."""
        asked = self.headers.get("retry-after", "")
        pause_s = float(asked) if asked.isdecimal() else otherwise
        asked = self.headers.get("retry-after-ms", "")
        return min(float(asked) / 1000 if asked.isdecimal() else pause_s, _LONGEST_PAUSE_S)


class Connection:
    """One connection, kept; a request that may be sent again is, since operations have numbers."""

    def __init__(self, url: str, key: Callable[[], str]) -> None:
        parts = urlsplit(url)
        self._kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._place = parts.netloc
        self._prefix = f"{parts.path.rstrip('/')}/api/v1/"
        self._key = key
        self._open: HTTPConnection | None = None

    def told(self, path: str, value: Mapping[str, Any]) -> dict[str, Any]:  # any JSON
        """What is answered to a JSON request."""
        _, body = self.post(path, json.dumps(value).encode(), "application/json")
        found: dict[str, Any] = json.loads(body)
        return found

    def post(self, path: str, body: bytes, media: str) -> tuple[str, bytes]:
        """Media type and body of the answer.

        Raises:
            Refused: it says no, or does not answer for two minutes.
        """
        return self._ask("POST", self._prefix + path, body, {"Content-Type": media})

    def get(self, path: str) -> bytes:
        return self._ask("GET", self._prefix + path, b"", {})[1]

    def download(self, url: str) -> bytes:
        """A file at an address that the service gave, which needs no key."""
        other = Connection(url, lambda: "")
        parts = urlsplit(url)
        try:
            return other._ask("GET", f"{parts.path}?{parts.query}", b"", {})[1]
        finally:
            other.close()

    def close(self) -> None:
        """It opens again where it is used again."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def result(self, request_id: str) -> tuple[str, bytes]:
        """Wait for an operation.

        Raises:
            DataError, NonFiniteError, BackendError: it failed.
        """
        asked = json.dumps({"request_id": request_id, "allow_metadata_only": False}).encode()
        while True:
            began = time.monotonic()
            media, body = self.post("retrieve_future", asked, "application/json")
            if "protobuf" in media:
                return media, body
            told = json.loads(body)
            if "error" in told:
                raise _failure(told["error"], told.get("category"))
            if told.get("type") != "try_again":
                return media, body
            _hold_back(began)

    def _ask(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[str, bytes]:
        began, pause_s = time.monotonic(), 0.05
        while True:
            asked = time.monotonic()
            answer = self._tried(method, path, body, headers)
            if answer.status == 200:
                return answer.headers.get("content-type", ""), answer.body
            if answer.status == 408:  # it held the request for as long as it does
                _hold_back(asked)
                began = time.monotonic()
                continue
            patience_s = _BUSY_S if answer.status == 429 else _PATIENCE_S
            if not answer.is_for_later or time.monotonic() - began > patience_s:
                said = answer.body[:500].decode("utf-8", "replace")
                raise Refused(
                    f"the service answers {answer.status} to {path}: {said}", answer.status
                )
            time.sleep(answer.pause_s(otherwise=pause_s))
            pause_s = min(2 * pause_s, 5.0)

    def _tried(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> _Answer:
        try:
            return self._once(method, path, body, headers)
        except (OSError, HTTPException) as error:
            self.close()
            return _Answer(503, {}, f"no answer: {error}".encode())

    def _once(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> _Answer:
        if self._open is None:
            self._open = self._kind(self._place, timeout=_TIMEOUT_S)
        self._open.request(method, path, body, {**self._own_headers(), **headers})
        response = self._open.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        return _Answer(response.status, told, response.read())

    def _own_headers(self) -> dict[str, str]:
        """Without a key none: an address that is signed may be anybody's."""
        if not (key := self._key()):
            return {}
        return {
            "X-API-Key": key,
            "Accept": "application/x-protobuf, application/json",
            "X-Tinker-Sampling-Backpressure": "1",  # 429 is understood
        }


def _hold_back(asked: float) -> None:
    """Services hold a request until there is something to tell; one that does not is spared."""
    if time.monotonic() - asked < _HELD_S:
        time.sleep(0.05)


def _failure(message: str, category: str | None) -> Exception:
    if "gradient's norm is" in message:
        return NonFiniteError(message)
    return DataError(message) if category == "user" else BackendError(message)


@attrs.define(eq=False)
class Pending(Generic[T]):
    """An operation that was sent. read: makes the value of the answer.

    again: sends it anew, and says the new id; None for what changes a model.
    """

    connection: Connection
    request_id: str
    read: Callable[[bytes], T]
    again: Callable[[], str] | None = None
    _value: list[T] = attrs.field(factory=list)

    def result(self) -> T:
        if not self._value:
            self._value.append(self.read(self._body()))
        return self._value[0]

    def done(self) -> bool:
        return bool(self._value)

    def _body(self) -> bytes:
        for tries in itertools.count(1):
            try:
                return self.connection.result(self.request_id)[1]
            except Refused as refused:
                if refused.status != _GONE:
                    raise
                if self.again is None:
                    raise BackendError(
                        "the service no longer knows what became of an operation, and so nobody "
                        "knows what the model is: the same command goes on from the last checkpoint"
                    ) from refused
                if tries == _TRIES:
                    message = f"the service lost the result of a sample {tries} times"
                    raise BackendError(message) from refused
                self.request_id = self.again()
        raise AssertionError("counting does not end")


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
