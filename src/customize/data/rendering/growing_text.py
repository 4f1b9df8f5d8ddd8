"""Text of tokens that are still coming. Knows no model and no protocol."""

from __future__ import annotations

import numpy as np

from customize.interfaces.renderer import Renderer

_NOT_WHOLE = "\ufffd"


class GrowingText:
    """Tokens one by one, and their text as far as its characters are whole.

    The pieces of ``add`` and at last ``rest`` are together what the renderer decodes all as.
    """

    def __init__(self, renderer: Renderer) -> None:
        self.tokens: list[int] = []
        self._renderer = renderer
        self._window, self._read = 0, 0  # tokens from which, and up to which, text was read

    def add(self, token: int) -> str:
        """What is certain now and was not before; empty inside a character."""
        self.tokens.append(token)
        text = self._decoded(len(self.tokens))
        return "" if text.endswith(_NOT_WHOLE) else self._beyond(text)

    def rest(self) -> str:
        """What was held back, where nothing more comes."""
        return self._beyond(self._decoded(len(self.tokens)))

    def _beyond(self, text: str) -> str:
        new = text[len(self._decoded(self._read)) :]
        self._window, self._read = self._read, len(self.tokens)
        return new

    def _decoded(self, end: int) -> str:
        """From a token before what is new, since some tokenizers drop a first blank."""
        return self._renderer.decode(np.asarray(self.tokens[self._window : end], np.int32))
