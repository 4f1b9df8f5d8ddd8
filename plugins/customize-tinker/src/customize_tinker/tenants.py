"""Who asks: keys, and the tenants they are. Knows no request."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

import attrs

from customize import OptionError
from customize_tinker.refusals import Refusal

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@attrs.frozen
class Keys:
    """The keys that are let in; with none given any is, and each is a tenant of its own."""

    tokens: tuple[str, ...]

    def tenant(self, key: str | None) -> str:
        """A name made of the key, which itself is kept nowhere.

        Raises:
            Refusal: there is no key, or it is not one of those given.
        """
        if not key or len(key) > 4096:
            raise Refusal(401, "send a key in X-API-Key: set TINKER_API_KEY=tml-…")
        digest = _digest(key)
        if self.tokens:
            known = [hmac.compare_digest(digest, _digest(token)) for token in self.tokens]
            if not any(known):
                raise Refusal(401, "this key is not one of the server's")
        return digest[:32]


def check_keys(host: str, tokens: Sequence[str]) -> Keys:
    """Keys for a server at this address.

    Raises:
        OptionError: it would listen to the network without a key, or clients could not send one.
    """
    if host not in _LOOPBACK and not tokens:
        raise OptionError(
            f"on {host} others could train here: give a key (--token; --token-from of customize "
            "serve), or stay on 127.0.0.1"
        )
    for token in tokens:
        if not token.startswith("tml-") or len(token) < 12:
            raise OptionError(
                "a token must start with tml-, or the official client refuses it, and go on with "
                "at least 8 characters that nobody guesses"
            )
    return Keys(tuple(tokens))


def is_loopback(host: str) -> bool:
    return host in _LOOPBACK


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
