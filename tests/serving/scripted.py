"""A runtime that says what a test wants, byte by byte, and a server of it on a free port."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from customize import Answering, ChatRenderer, Query, Runtime, Said
from customize.serving.address import Address
from customize.serving.limits import Limits
from customize.serving.menu import Offer
from customize.serving.server import Server
from customize.testing import write_tiny_model

# With tools, as Hermes and Qwen write them.
TEMPLATE = (
    "{% if tools %}<|begin|>system\n{% for t in tools %}{{ t | tojson }}{% endfor %}<|end|>"
    "{% endif %}{% for m in messages %}<|begin|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}"
    "<|end|>{% endfor %}{% if add_generation_prompt %}<|begin|>assistant\n{% endif %}"
)
Script = Callable[[str], str]


def renderer_in(folder: Path) -> ChatRenderer:
    """One byte, one token."""
    write_tiny_model(folder)
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**settings, "chat_template": TEMPLATE}), "utf-8")
    return ChatRenderer.from_folder(folder)


def echo(prompt: str) -> str:
    """The last message, as the prompt ends with it."""
    last = prompt.rsplit("<|begin|>", 2)[-2]
    return "You said: " + last.partition("\n")[2].removesuffix("<|end|>")


class ScriptedRuntime(Runtime):
    """Says ``script(prompt)``. Keeps what it was asked, and who is answered now.

    A token is told every ``delay_s``; while ``held`` is set, none is.
    """

    def __init__(
        self,
        renderer: ChatRenderer,
        script: Script = echo,
        slots: int = 4,
        context: int = 4096,
        adapters: tuple[str, ...] = (),
        delay_s: float = 0.0,
    ) -> None:
        self.renderer = renderer
        self.script = script
        self.slots = slots
        self.context = context
        self.adapters = adapters
        self.delay_s = delay_s
        self.queries: list[Query] = []
        self.prompts: list[str] = []
        self.free = threading.Event()
        self.free.set()
        self.now = 0
        self.most = 0
        self.closed = False
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls, folder: Path, adapters: Mapping[str, Path] = {}, base: Path | None = None
    ) -> Runtime:
        raise NotImplementedError

    def stream(self, query: Query, cancelled: threading.Event | None = None) -> Iterator[Said]:
        self._count(1, query)
        try:
            for token in self._tokens(query)[: query.sampling.max_tokens]:
                while not self.free.wait(0.01):
                    if cancelled is not None and cancelled.is_set():
                        return
                time.sleep(self.delay_s)
                top = ((token, logprob_of(token)), (65, -1.5), (66, float("-inf")))
                yield Said(token, logprob_of(token), top[: query.top_logprobs])
        finally:
            self._count(-1)

    def _tokens(self, query: Query) -> list[int]:
        renderer = self.renderer
        assert isinstance(renderer, ChatRenderer)
        self.prompts.append(renderer.text_of(query.tokens))
        said = self.script(self.prompts[-1])
        return [*renderer.encode_text(said).tolist(), *renderer.stop_tokens]

    def _count(self, change: int, query: Query | None = None) -> None:
        with self._lock:
            self.now += change
            self.most = max(self.most, self.now)
            if query is not None:
                self.queries.append(query)

    def logprobs(
        self, tokens: npt.NDArray[np.int32], start: int, adapter: str | None = None
    ) -> npt.NDArray[np.float32]:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


class DrawingRuntime(ScriptedRuntime):
    """Draws, as the real ones do, from what a model that knows nothing would say."""

    fits_schemas = True

    def stream(self, query: Query, cancelled: threading.Event | None = None) -> Iterator[Said]:
        answering = Answering(query, self.renderer, self.context)
        self._count(1, query)
        try:
            while not answering.over and not (cancelled and cancelled.is_set()):
                seed = (query.seed, query.index, len(answering.tokens))
                yield answering.draw(np.random.default_rng(seed).normal(0, 3, 256))
        finally:
            self._count(-1)


def logprob_of(token: int) -> float:
    """A number that tells tokens apart."""
    return -token / 1000


@contextmanager
def served(runtime: Runtime, token: str | None = None, **limits: Any) -> Iterator[Server]:
    """A server of the runtime under the name ``mine``, and of each adapter under its own."""
    offers = [Offer("mine", runtime), *(Offer(name, runtime, name) for name in runtime.adapters)]
    with Server(offers, Limits(**limits), Address.take(port=0, token=token)) as server:
        yield server
