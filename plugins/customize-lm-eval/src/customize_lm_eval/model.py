"""A run as an ``lm_eval.api.model.LM``. Knows requests and tokens, and no task.

Raw contexts are encoded as they are, as by the harness' own models. A chat is handed through the
harness as a text of our own, and rendered here by the model's renderer: so control tokens in a
task's text stay text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

import customize

Tokens = npt.NDArray[np.int32]

_CHAT = "customize chat:"
_AT_ONCE = 32
_DEFAULT_TOKENS = 256


class RunLM(LM):
    """``lm_eval.simple_evaluate(model=RunLM(customize.open("runs/pizza")), tasks=[…])``.

    base: ask the base that the run started from.
    """

    def __init__(self, run: customize.Run, *, base: bool = False) -> None:
        super().__init__()
        self._snapshot = run.base if base else run.customized
        renderer = self._snapshot.renderer
        if not isinstance(renderer, customize.ChatRenderer) or run.model is None:
            raise customize.Unsupported("the harness needs a model with a tokenizer of its own")
        self._renderer = renderer
        self._name = f"{run!r}{' base' if base else ''}"
        config = json.loads((run.model.path / "config.json").read_text("utf-8"))
        self.max_length = int(config.get("max_position_embeddings", 2048))
        # Where a text has no context, as for the harness' own models.
        begin = config.get("bos_token_id")
        self._prefix = renderer.stop_tokens[0] if begin is None else int(begin)

    @property
    def tokenizer_name(self) -> str:
        """For the harness' cache: what the chat template is of."""
        return self._renderer.fingerprint

    def chat_template(self, chat_template: bool | str = False) -> str:
        """Told in results; rendering is our own."""
        return f"customize {self._renderer.fingerprint}" if chat_template else ""

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """A text that ``loglikelihood`` and ``generate_until`` read back as messages."""
        return _CHAT + json.dumps([chat_history, add_generation_prompt]) + "\n"

    def get_model_info(self) -> dict[str, Any]:
        """Told in results."""
        return {"model": self._name}

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Nats of each continuation, and whether it is what the model would say greedily."""
        pairs = [self._pair(*request.args) for request in requests]
        logprobs = self._logprobs(pairs)
        greedy = self._greedy(pairs, logprobs)
        return [(float(each.sum()), same) for each, same in zip(logprobs, greedy, strict=True)]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Nats of each whole text, in windows that the model can hold, each token once."""
        found = []
        for request in requests:
            windows = get_rolling_token_windows(
                token_list=self._renderer.encode_text(request.args[0]).tolist(),
                prefix_token=self._prefix,
                max_seq_len=self.max_length,
                context_len=1,
            )
            pairs = [tuple(map(_int32, make_disjoint_window(window))) for window in windows]
            found.append(float(sum(each.sum() for each in self._logprobs(pairs))))
        return found

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """What the model says, up to the first of the texts that end it."""
        found: list[str] = [""] * len(requests)
        groups: dict[str, list[int]] = {}
        for n, request in enumerate(requests):
            groups.setdefault(json.dumps(request.args[1], sort_keys=True), []).append(n)
        for written, numbers in groups.items():
            sampling, until = _sampling(json.loads(written))
            for start in range(0, len(numbers), _AT_ONCE):
                part = numbers[start : start + _AT_ONCE]
                room = self.max_length - sampling.max_tokens
                prompts = [
                    customize.Prompt(self._context(requests[n].args[0])[-room:], seed=n)
                    for n in part
                ]
                completions = self._snapshot.sample(prompts, sampling).result()
                for n, [completion] in zip(part, completions, strict=True):
                    found[n] = _cut(self._renderer.decode(completion.tokens), until)
        return found

    def _pair(self, context: str, continuation: str) -> tuple[Tokens, Tokens]:
        """Both in tokens, the context cut from the left where the model cannot hold it."""
        if context.startswith(_CHAT):
            before, after = self._context(context), self._renderer.encode_text(continuation)
        else:
            kept = len(context) - len(context.rstrip())  # a blank belongs to the word after it
            if kept:
                context, continuation = context[:-kept], context[-kept:] + continuation
            before = self._context(context)
            whole = self._renderer.encode_text(context + continuation)
            after = whole[len(before) :] if context else whole
        room = self.max_length + 1 - len(after)
        return before[-room:], after

    def _context(self, context: str) -> Tokens:
        if not context.startswith(_CHAT):
            tokens = self._renderer.encode_text(context)
            return tokens if len(tokens) else _int32([self._prefix])
        messages, opens = json.loads(context.removeprefix(_CHAT))
        if opens:
            return self._renderer.prompt(messages)
        *before, begun = messages
        opened, said = self._renderer.prompt(before), self._renderer.encode_text(begun["content"])
        return np.concatenate([opened, said])

    def _logprobs(self, pairs: Sequence[Sequence[Tokens]]) -> list[npt.NDArray[np.float32]]:
        """Of each token of the second of a pair, after the first."""
        found: list[npt.NDArray[np.float32]] = []
        for start in range(0, len(pairs), _AT_ONCE):
            part = pairs[start : start + _AT_ONCE]
            rows = [
                (
                    np.concatenate([before, after]),
                    {"weights": np.repeat([0.0, 1.0], [len(before), len(after)])},
                )
                for before, after in part
            ]
            batch = customize.Batch.from_sequences(rows)
            flat = self._snapshot.forward(batch).result()
            pieces = np.split(flat, batch.offsets[1:-1])
            found += [piece[len(b) :] for piece, (b, _) in zip(pieces, part, strict=True)]
        return found

    def _greedy(
        self,
        pairs: Sequence[tuple[Tokens, Tokens]],
        logprobs: Sequence[npt.NDArray[np.float32]],
    ) -> list[bool]:
        """A token of more than half the probability is the likeliest; else the model is asked."""
        same = [True] * len(pairs)
        open_ = [n for n, each in enumerate(logprobs) if (each <= np.log(0.5)).any()]
        for length in (1, None):  # most are refuted by their first token
            open_ = [n for n in open_ if same[n]]
            for start in range(0, len(open_), _AT_ONCE):
                part = open_[start : start + _AT_ONCE]
                ends = [pairs[n][1][:length] for n in part]
                said = self._said([pairs[n][0] for n in part], max(map(len, ends)))
                for n, end, tokens in zip(part, ends, said, strict=True):
                    same[n] = np.array_equal(tokens[: len(end)], end)
        return same

    def _said(self, contexts: Sequence[Tokens], num: int) -> list[Tokens]:
        sampling = customize.Sampling(max_tokens=num, temperature=0.0, stop_tokens=())
        prompts = [customize.Prompt(context) for context in contexts]
        return [one.tokens for [one] in self._snapshot.sample(prompts, sampling).result()]


def _sampling(given: Mapping[str, Any]) -> tuple[customize.Sampling, tuple[str, ...]]:
    until = given.get("until") or ()
    texts = (until,) if isinstance(until, str) else tuple(until)
    temperature = float(given.get("temperature", 1.0)) if given.get("do_sample") else 0.0
    sampling = customize.Sampling(
        max_tokens=int(given.get("max_gen_toks", given.get("max_tokens", _DEFAULT_TOKENS))),
        temperature=temperature,
        top_k=int(given.get("top_k", 0)),
        top_p=float(given.get("top_p", 1.0)),
        stop=tuple(text for text in texts if text) or None,
    )
    return sampling, texts


def _cut(text: str, until: Sequence[str]) -> str:
    for end in until:
        text = text.split(end)[0] if end else text
    return text


def _int32(tokens: Any) -> Tokens:
    return np.asarray(tokens, np.int32)
