"""Where the server listens, and who may ask there. Knows neither models nor routes."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Set
from types import MappingProxyType

import attrs

from customize._errors import OptionError

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_LEAST_TOKEN = 16  # characters; shorter ones are guessed
_BACKLOG = 1000


@attrs.frozen(eq=False)
class Address:
    """A port that is taken.

    askers: tokens, of which every request must bring one, each with its asker's tags; empty where
    none is asked for. hosts: the names under which the server may be addressed; None where any will
    do, since a token is asked for.
    """

    socket: socket.socket
    askers: Mapping[str, Set[str]]
    hosts: Set[str] | None

    @classmethod
    def take(
        cls,
        host: str = "127.0.0.1",
        port: int = 8000,
        token: str | None = None,
        askers: Mapping[str, Set[str]] = MappingProxyType({}),
    ) -> Address:
        """Port 0 takes any that is free. Who has ``token`` has no tags.

        Raises:
            OptionError: it cannot be had; a token is too short, an asker's too, or missing where
                other machines reach the host.
        """
        if token in askers:
            raise OptionError(
                "the token of --token-from is also an asker's, who has tags: give each a token of "
                "its own"
            )
        every = {**({} if token is None else {token: frozenset()}), **askers}
        is_local = _is_loopback(host)
        if not every and not is_local:
            raise OptionError(
                f"{host} can be reached from other machines, so a token is required: put a long "
                "random one into the environment variable that --token-from names"
            )
        for one in every:
            _check_token(one)
        taken = _listening(host, port)
        return cls(taken, every, _LOOPBACK | {_name_of(taken)} if is_local else None)

    @property
    def url(self) -> str:
        """What clients take as their base URL."""
        return f"http://{_name_of(self.socket)}:{self.socket.getsockname()[1]}/v1"


def _name_of(taken: socket.socket) -> str:
    """Its address as a URL has it."""
    host = str(taken.getsockname()[0])
    return f"[{host}]" if ":" in host else host


def _check_token(token: str) -> None:
    if len(token) < _LEAST_TOKEN or not token.isascii() or " " in token:
        raise OptionError(f"a token has {_LEAST_TOKEN} ASCII characters or more, and no blank")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = error.strerror or error
        raise OptionError(
            f"cannot listen on {host}, port {port}: {reason}; give another --port or --host"
        ) from None
