"""Text that grows token by token: no half character is said, and nothing is lost."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import pytest

from customize import GrowingText


class Bytes:
    """A renderer whose tokens are bytes, so that a character is up to four of them."""

    def decode(self, tokens: npt.NDArray[Any]) -> str:
        return bytes(tokens.tolist()).decode(errors="replace")


@pytest.mark.parametrize("text", ["plain", "Café — 12.50 €", "日本語 🍕🍕", ""])
def test_pieces_are_whole_characters_and_together_the_text(text: str) -> None:
    growing = GrowingText(Bytes())  # type: ignore[arg-type]  # it only decodes
    pieces = [growing.add(byte) for byte in text.encode()]
    assert not any("\ufffd" in piece for piece in pieces)
    assert "".join(pieces) == text
    assert growing.rest() == ""


def test_what_never_becomes_whole_is_the_rest() -> None:
    growing = GrowingText(Bytes())  # type: ignore[arg-type]  # it only decodes
    assert [growing.add(byte) for byte in "a🍕".encode()[:3]] == ["a", "", ""]
    assert growing.rest() == "\ufffd"
    assert growing.tokens == list("a🍕".encode()[:3])
