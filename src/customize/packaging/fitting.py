"""Answers that fit a JSON schema, held to it token by token. Know no runtime and no protocol.

Which tokens may follow is told by the package llguidance, from the schema and the tokenizer alone;
nothing that a schema refers to is ever fetched.

Shape legend: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from customize._errors import DataError, MissingDependency, Unsupported
from customize.data.rendering import ChatRenderer
from customize.interfaces.renderer import Renderer

# As json.dumps writes, and no other blanks: small models can go on with those for ever. Nothing
# of a schema is passed over in silence, whatever it says of itself.
STRICT = {
    "item_separator": ", ",
    "key_separator": ": ",
    "whitespace_flexible": False,
    "lenient": False,
}


class Fitting:
    """One answer as it grows: the tokens with which it still fits.

    Args:
        stop_tokens: what ends an answer, and may come once it is whole.

    Raises:
        DataError: it is no schema, or none that can be held to; says why.
        Unsupported: the tokenizer is none that can.
        MissingDependency: llguidance is not installed.
    """

    def __init__(self, schema: str, renderer: Renderer, stop_tokens: Collection[int]) -> None:
        llguidance = _import()
        vocabulary = _vocabulary(renderer)
        try:
            grammar = llguidance.LLMatcher.grammar_from_json_schema(schema, overrides=STRICT)
        except ValueError as error:
            raise DataError(f"this is no JSON schema: {error}") from error
        self._matcher = llguidance.LLMatcher(vocabulary, grammar, log_level=0)
        self._stops = np.asarray(sorted(stop_tokens), np.int64)
        self._raise_fault()

    def allowed(self, size: int) -> npt.NDArray[np.bool_]:
        """Of ``size`` tokens those that may come next: bool [V]."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._raise_fault()
        known_V = np.unpackbits(bits, bitorder="little")[:size].astype(bool)
        out_V = np.zeros(size, bool)
        out_V[: len(known_V)] = known_V
        out_V[self._stops] = self._matcher.is_accepting()
        return out_V

    def take(self, token: int) -> None:
        """The answer goes on with this one."""
        if token not in self._stops:
            self._matcher.consume_token(token)
            self._raise_fault()

    def _raise_fault(self) -> None:
        if self._matcher.is_error():
            first = self._matcher.get_error().strip().partition("\n")[0]
            raise DataError(f"an answer cannot be held to this schema: {first}")


def _vocabulary(renderer: Renderer) -> Any:
    if not isinstance(renderer, ChatRenderer):
        raise Unsupported("no answer is held to a schema here: there is no tokenizer.json")
    try:
        return _made(renderer.tokenizer_json, renderer.stop_tokens[0])
    except ValueError as error:
        raise Unsupported(f"this tokenizer cannot be held to a schema: {error}") from error


@lru_cache(maxsize=8)
def _made(tokenizer_json: bytes, end: int) -> Any:
    """Some seconds' work for a large vocabulary, and the same for every answer."""
    return _import().LLTokenizer(tokenizer_json.decode("utf-8"), eos_token=end)


def _import() -> Any:  # it is typed, and optional
    try:
        import llguidance
    except ImportError as error:
        raise MissingDependency(
            "answers that fit a schema need: pip install 'customize[json-schema]'"
        ) from error
    return llguidance
