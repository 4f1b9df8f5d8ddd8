"""The runtime of Hugging Face folders: transformers' own classes, and PEFT's around them.

Computes in float32, one query at a time. Knows nothing of how a folder was made.

Shape legend: B batch (1), T tokens, V vocabulary.
"""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from customize import Answering, ChatRenderer, ExportError, Message, Query, Runtime, Said

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
_GENERATION = "generation_config.json"
_CONTEXT = 2048  # where the model's configuration does not say


class Transformers(Runtime):
    """A model of transformers, or adapters of PEFT on one."""

    slots = 1
    fits_schemas = True

    def __init__(self, folder: Path, model: Any, adapters: Mapping[str, str]) -> None:
        """``adapters``: by name, what PEFT knows each as."""
        self.renderer = ChatRenderer.from_folder(folder)
        self.adapters = tuple(adapters)
        config = model.config.get_text_config()
        self.context = int(getattr(config, "max_position_embeddings", None) or _CONTEXT)
        self._known_as = dict(adapters)
        self._folder = folder
        self._model = model
        self._turn = threading.Lock()
        self._active: str | None = None

    @classmethod
    def open(
        cls, folder: Path, adapters: Mapping[str, Path] = {}, base: Path | None = None
    ) -> Transformers:
        if base is None:
            if adapters:
                raise ExportError(f"{folder} holds merged weights: no adapter can be put on them")
            return cls(folder, _whole(folder), {})
        from peft import PeftModel

        own = str(json.loads((folder / "package.json").read_text("utf-8"))["name"])
        model = PeftModel.from_pretrained(_whole(base), str(folder), adapter_name="a0")
        known_as = {own: "a0"}  # PEFT takes no name with a dot
        for other, path in adapters.items():
            known_as[other] = f"a{len(known_as)}"
            model.load_adapter(str(path), adapter_name=known_as[other])
        return cls(folder, model.eval(), known_as)  # no dropout

    def stream(self, query: Query, cancelled: threading.Event | None = None) -> Iterator[Said]:
        self.check(query)
        answering = Answering(query, self.renderer, self.context)
        ids_BT = torch.from_numpy(query.tokens.astype(np.int64))[None]
        cache = None
        with self._turn:
            while not answering.over and not (cancelled and cancelled.is_set()):
                logits_V, cache = self._step(ids_BT, cache, query.adapter)
                said = answering.draw(logits_V)
                ids_BT = torch.tensor([[said.token]])
                yield said

    def logprobs(self, tokens: Ints, start: int, adapter: str | None = None) -> Floats:
        self.check_adapter(adapter)
        ids_BT = torch.from_numpy(tokens.astype(np.int64))[None]
        kept = len(tokens) - start + 1
        with self._turn, torch.inference_mode(), self._as(adapter):
            logits_TV = self._model(input_ids=ids_BT, logits_to_keep=kept).logits[0, :-1]
            out: Floats = logits_TV.float().log_softmax(-1).numpy()
        return out

    def own_prompt(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None = None
    ) -> Ints:
        tokens = self._tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            tools=None if tools is None else [dict(tool) for tool in tools],
            add_generation_prompt=True,
            return_dict=False,
        )
        return np.asarray(tokens, np.int32)

    def own_stops(self) -> Mapping[str, frozenset[int]]:
        """What transformers reads of the package; PEFT reads the base's beside an adapter."""
        ends = GenerationConfig.from_pretrained(self._folder, local_files_only=True).eos_token_id
        return {_GENERATION: frozenset(ends if isinstance(ends, list) else [ends])}

    @functools.cached_property
    def _tokenizer(self) -> Any:  # whatever class of transformers the folder names
        return AutoTokenizer.from_pretrained(self._folder, local_files_only=True)

    def _step(self, ids_BT: torch.Tensor, cache: Any, adapter: str | None) -> tuple[Floats, Any]:
        with torch.inference_mode(), self._as(adapter):
            out = self._model(
                input_ids=ids_BT, past_key_values=cache, use_cache=True, logits_to_keep=1
            )
        return out.logits[0, -1].float().numpy(), out.past_key_values

    def _as(self, adapter: str | None) -> AbstractContextManager[Any]:
        """The adapter in force; PEFT takes a while to set one."""
        if not self.adapters:
            return nullcontext()
        if adapter is None:
            disabled: AbstractContextManager[Any] = self._model.disable_adapter()
            return disabled
        if adapter != self._active:
            self._model.set_adapter(self._known_as[adapter])
            self._active = adapter
        return nullcontext()


def _whole(folder: Path) -> Any:  # whatever class of transformers the configuration names
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True
    ).eval()  # no dropout
