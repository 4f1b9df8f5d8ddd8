"""Metadata read by name and checked type. Knows nothing of what the keys mean."""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs

from customize import ModelError
from customize_gguf._reader import Value


@attrs.frozen
class Metadata:
    """What a file says; each getter refuses a missing or ill-typed value by its key."""

    values: Mapping[str, Value]
    source: str = "the GGUF file"

    def has(self, key: str) -> bool:
        """Whether the file says anything about ``key``."""
        return key in self.values

    def text(self, key: str, default: str | None = None) -> str:
        """A string."""
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self._ill(key, "a string")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """A boolean."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self._ill(key, "a boolean")
        return value

    def count(self, key: str, default: int | None = None) -> int:
        """A positive integer below 2^31."""
        value = self._get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 31:
            raise self._ill(key, "a positive integer below 2^31")
        return value

    def positive(self, key: str, default: float | None = None) -> float:
        """A finite number above zero."""
        value = self._get(key, default)
        if not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise self._ill(key, "a finite number above 0")
        return float(value)

    def texts(self, key: str) -> list[str]:
        """A list of strings."""
        values = self._get(key, None)
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise self._ill(key, "a list of strings")
        return [value for value in values if isinstance(value, str)]

    def integers(self, key: str) -> list[int]:
        """A list of integers."""
        values = self._get(key, None)
        if not isinstance(values, list) or not all(isinstance(value, int) for value in values):
            raise self._ill(key, "a list of integers")
        return [value for value in values if isinstance(value, int)]

    def token(self, key: str, num_tokens: int) -> int | None:
        """The id of a token of the vocabulary, or None where the file names none."""
        if not self.has(key):
            return None
        value = self.values[key]
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < num_tokens:
            raise self._ill(key, f"a token id below {num_tokens}")
        return value

    def _get(self, key: str, default: Value | None) -> Value:
        value = self.values.get(key, default)
        if value is None:
            raise ModelError(f"{self.source} does not say {key!r}, which is needed")
        return value

    def _ill(self, key: str, wanted: str) -> ModelError:
        given = repr(self.values.get(key))[:60]
        return ModelError(f"{self.source}'s {key!r} must be {wanted} (it is {given})")
