"""What tests of the server share; without its packages there is nothing to test here."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from openai import OpenAI
    from scripted import ScriptedRuntime

    from customize import ChatRenderer
    from customize.serving.server import Server

NEEDED = ("starlette", "uvicorn", "openai", "prometheus_client")
collect_ignore_glob = [] if all(map(find_spec, NEEDED)) else ["test_*.py"]


@pytest.fixture(scope="session")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> ChatRenderer:
    """One byte, one token."""
    from scripted import renderer_in

    return renderer_in(tmp_path_factory.mktemp("renderer"))


@pytest.fixture
def runtime(renderer: ChatRenderer) -> ScriptedRuntime:
    """It says what it was told."""
    from scripted import ScriptedRuntime

    return ScriptedRuntime(renderer)


@pytest.fixture
def server(runtime: ScriptedRuntime) -> Iterator[Server]:
    """A server of ``runtime``."""
    from scripted import served

    with served(runtime) as made:
        yield made


@pytest.fixture
def client(server: Server) -> Iterator[OpenAI]:
    """The real client, which does not try again."""
    from serving_asks import client_of

    with client_of(server) as made:
        yield made
