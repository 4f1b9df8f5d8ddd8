"""Why a request gets no answer, in the form that clients of OpenAI's interface raise as errors."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
    504: "server_error",
}
CLOSING = MappingProxyType({"Connection": "close"})


class Refusal(Exception):
    """Never leaves this package: it becomes a response.

    param: the request's field that is wrong. code: what is wrong, for programs.
    """

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = headers

    def body(self) -> dict[str, Any]:
        """What the client is told, as JSON."""
        kind = _TYPES.get(self.status, "invalid_request_error")
        about = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        return {"error": about}

    def response(self) -> Response:
        return JSONResponse(self.body(), self.status, dict(self.headers))


def told(request: Request, refusal: Exception) -> Response:
    """Starlette's handler of refusals."""
    assert isinstance(refusal, Refusal)
    return refusal.response()


def broken() -> Refusal:
    """What failed is in the server's log and not in the client's answer."""
    return Refusal(500, "the server failed at this request; its log says how")
