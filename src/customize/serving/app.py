"""The application: routes, and what stands before them. Knows no socket."""

from __future__ import annotations

from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import Any

import attrs
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from customize.serving.bodies import read_object
from customize.serving.chat_form import ChatForm
from customize.serving.completion_form import CompletionForm
from customize.serving.guard import Guard, tags_of
from customize.serving.limits import Limits
from customize.serving.measures import Measures
from customize.serving.menu import Menu
from customize.serving.reading import read_chat, read_completion
from customize.serving.refusal import Refusal, broken, told
from customize.serving.replying import Reply


@attrs.frozen(eq=False)
class _Service:
    """What every route has at hand."""

    menu: Menu
    limits: Limits
    measures: Measures


def make_app(
    menu: Menu,
    limits: Limits,
    askers: Mapping[str, Set[str]] = MappingProxyType({}),
    hosts: Set[str] | None = None,
) -> Starlette:
    """The server's ASGI application.

    Args:
        askers: tags by token, of which every request must bring one, on every route; none are
            asked for where there is none.
        hosts: the names under which it may be addressed; None allows any.
    """
    measures = Measures()
    routes = [
        Route("/v1/chat/completions", _chat, methods=["POST"]),
        Route("/v1/completions", _completion, methods=["POST"]),
        Route("/v1/models", _models),
        Route("/v1/models/{name:path}", _model),
        Route("/health", _health),
        Route("/metrics", _metrics),
    ]
    paths: dict[object, str] = {route.endpoint: route.path for route in routes}
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(_Counting, measures=measures, paths=paths),
            Middleware(Guard, askers=askers, hosts=hosts),
        ],
        exception_handlers={Refusal: told, HTTPException: _told_by_starlette, Exception: _failed},
    )
    app.router.redirect_slashes = False
    app.state.service = _Service(menu, limits, measures)
    return app


def _service(request: Request) -> _Service:
    service: _Service = request.app.state.service
    return service


async def _chat(request: Request) -> Reply:
    here = _service(request)
    body = await read_object(request, here.limits)
    asked = read_chat(body, here.menu, here.limits, tags_of(request.scope))
    return Reply(asked, ChatForm, here.limits, here.measures, trimmed=True)


async def _completion(request: Request) -> Reply:
    here = _service(request)
    asked = read_completion(await read_object(request, here.limits), here.menu, here.limits)
    return Reply(asked, CompletionForm, here.limits, here.measures, trimmed=False)


async def _models(request: Request) -> Response:
    menu = _service(request).menu
    return JSONResponse({"object": "list", "data": [_about(menu, name) for name in menu.names]})


async def _model(request: Request) -> Response:
    menu = _service(request).menu
    return JSONResponse(_about(menu, menu.find(request.path_params["name"]).name))


def _about(menu: Menu, name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": menu.made, "owned_by": "customize"}


async def _health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _metrics(request: Request) -> Response:
    here = _service(request)
    answering = sum(desk.answering for desk in here.menu.desks)
    admitted = sum(desk.admitted for desk in here.menu.desks)
    return PlainTextResponse(here.measures.text(answering, admitted))


async def _told_by_starlette(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reasons = {404: "there is nothing at this path", 405: "this path takes another method"}
    reason = reasons.get(error.status_code, str(error.detail))
    return Refusal(error.status_code, reason, headers=error.headers or {}).response()


async def _failed(request: Request, error: Exception) -> Response:
    return broken().response()


_LEFT = 499  # what is counted where the client left before there was a status


class _Counting:
    """Counts responses by route and status; paths that are no route are one."""

    def __init__(self, app: ASGIApp, measures: Measures, paths: Mapping[object, str]) -> None:
        self._app = app
        self._measures = measures
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status: int | None = None

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, counted)
        except Exception:
            status = status or 500  # told by what stands before this
            raise
        finally:
            path = self._paths.get(scope.get("endpoint"), "other")
            self._measures.requests[path, status or _LEFT] += 1
