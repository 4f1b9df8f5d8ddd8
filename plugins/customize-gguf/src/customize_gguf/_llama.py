"""llama.cpp in this process, by the package xllamacpp: what comes next, and how likely.

xllamacpp wraps llama.cpp's server, which samples, renders and stops in its own ways. Here it is
asked for one thing only: the distribution of the next token, from logits that nothing has touched.
(Its own streams leave out tokens that end in the middle of a character.) Knows no package.
"""

from __future__ import annotations

import json
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from customize import ExportError, MissingDependency

Doubles = npt.NDArray[np.float64]

# Where a probability is 0 in float32 llama.cpp gives its lowest number: this is what it would be.
_LEAST = float(np.log(np.finfo(np.float32).smallest_subnormal))

# Straight to loopback, whatever proxy the environment names.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Llama:
    """A loaded model with adapters. Several threads may ask, each for a slot of its own."""

    def __init__(
        self,
        model: Path,
        adapters: Sequence[Path],
        *,
        slots: int,
        context: int,
        exact: bool,
        filler: int,
    ) -> None:
        """Load.

        Args:
            context: tokens of each slot.
            exact: keep keys and values in 32 bits, not in 16 as llama.cpp does by default.
            filler: a token that is whole text, which is made to be drawn: of others nothing is
                told.

        Raises:
            MissingDependency: xllamacpp is not installed.
            ExportError: llama.cpp does not load the files.
        """
        xllamacpp = _import()
        self._key = secrets.token_hex(16)
        self._filler = filler
        self._num_adapters = len(adapters)
        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.lora_adapters = [
            xllamacpp.CommonAdapterLoraInfo(str(path), 1.0) for path in adapters
        ]
        # A slot also holds the token that is made to be drawn.
        params.n_parallel, params.n_ctx = slots, slots * (context + 1)
        params.verbosity = 0
        # It listens, whether one wants to or not: on loopback, for who has the key.
        params.port, params.api_keys, params.ui = 0, [self._key], False
        # Slots are asked by number and keep their own prompts.
        params.cache_ram_mib, params.cache_idle_slots = 0, False
        if exact:
            params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
            params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        if threads := os.environ.get("OMP_NUM_THREADS"):
            params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(threads)
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise ExportError(f"llama.cpp does not load {model}: {error}") from error
        # One that is freed before its loop has begun waits for that loop's end without end.
        self.likeliest([filler], 1, 0, None)

    def likeliest(
        self, tokens: Sequence[int], count: int, slot: int, adapter: int | None
    ) -> tuple[npt.NDArray[np.int64], Doubles]:
        """So many of the likeliest next tokens, and their log-probabilities, the likeliest first.

        Raises:
            ExportError: llama.cpp refuses.
        """
        asked = {
            "prompt": list(tokens),
            "id_slot": slot,
            "max_tokens": 1,
            "n_probs": count,
            "logit_bias": [[self._filler, 1e4]],
            "samplers": [],
            "cache_prompt": True,
            "lora": [
                {"id": number, "scale": float(number == adapter)}
                for number in range(self._num_adapters)
            ],
        }
        answer = self._server.handle_completions(asked)
        try:
            top = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        except (KeyError, IndexError, TypeError) as error:
            raise ExportError(f"llama.cpp refuses: {str(answer)[:500]}") from error
        ids = np.fromiter((entry["id"] for entry in top), np.int64, len(top))
        logprobs = np.fromiter((entry["logprob"] for entry in top), np.float64, len(top))
        return ids, np.maximum(logprobs, _LEAST)

    def rendered(self, messages: Sequence[Mapping[str, Any]], tools: Any) -> list[int]:
        """Tokens of a prompt by llama.cpp's own template engine and tokenizer."""
        asked: dict[str, Any] = {"messages": list(messages)}
        if tools:
            asked["tools"] = list(tools)
        text = self._post("/apply-template", asked)["prompt"]
        asked = {"content": text, "add_special": True, "parse_special": True}
        tokens: list[int] = self._post("/tokenize", asked)["tokens"]
        return tokens

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self._server.listening_address + path,
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
        )
        try:
            with _OPENER.open(request) as response:
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            reason = error.read().decode("utf-8", "replace")[:500]
            raise ExportError(f"llama.cpp refuses: {reason}") from error
        return answer

    def close(self) -> None:
        """Free it."""
        self._server = None


def check() -> None:
    """Raises MissingDependency where llama.cpp is not installed."""
    _import()


def _import() -> Any:  # it has no types
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingDependency(
            "llama.cpp, in which GGUF files run, is not installed: "
            "pip install 'customize-gguf[llama-cpp]'"
        ) from error
    return xllamacpp
