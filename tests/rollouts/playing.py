"""Episodes for tests: a model that says what it is told to, and rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from customize import (
    Ask,
    ChatRenderer,
    Completion,
    Done,
    Driver,
    Episode,
    OnToken,
    Prompt,
    Sampling,
    Snapshot,
)
from customize import episode_seed as seed_of
from customize.interfaces.handle import Handle
from customize.testing import ToyRenderer

ROW = {"messages": [{"role": "user", "content": "How much is 6 times 7?"}], "answer": "42"}
Speaks = Callable[[str], str]


class Speaker(Snapshot):
    """Says what a function of the conversation so far says; a snapshot like any other."""

    def __init__(self, speaks: Speaks | str, renderer: ChatRenderer | None = None) -> None:
        self.renderer = renderer or ToyRenderer()
        self._chat = renderer
        self.prompts: list[list[int]] = []
        self._speaks = speaks if callable(speaks) else lambda text: str(speaks)

    def forward(self, batch: Any) -> Any:
        raise NotImplementedError

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Handle[list[list[Completion]]]:
        return Done([[self._complete(prompt, sampling)] for prompt in prompts])

    def _complete(self, prompt: Prompt, sampling: Sampling) -> Completion:
        self.prompts.append(prompt.tokens.tolist())
        text = self._speaks(self.renderer.decode(prompt.tokens))
        said = self._chat.encode_text(text).tolist() if self._chat else list(text.encode())
        tokens = [*said, self.renderer.stop_tokens[0]][: sampling.max_tokens]
        ended = len(tokens) == len(said) + 1
        logprobs = -np.arange(1, len(tokens) + 1, dtype=np.float32)
        return Completion(
            np.asarray(tokens, np.int32), logprobs, 2 * logprobs, "stop" if ended else "length"
        )


def asks(num_groups: int = 1, size: int = 1, row: Any = ROW) -> list[Ask]:
    """Episodes of groups, all of one row."""
    return [
        Ask(row, group, group, i, seed_of(0, 1, group, i))
        for group in range(num_groups)
        for i in range(size)
    ]


def play(
    environment: Any, speaks: Speaks | str, size: int = 1, row: Any = ROW, **settings: Any
) -> list[Episode]:
    """One group, played by a model that says this."""
    sampling = Sampling(max_tokens=settings.pop("max_tokens", 64))
    driver = Driver(environment, sampling, **settings)
    return driver.play(Speaker(speaks), asks(1, size, row))
