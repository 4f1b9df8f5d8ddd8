"""Runtimes of the rest of the world: a folder loaded as its users load it. Knows no rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from customize.interfaces.renderer import Message
from customize.testing.rules import NotApplicable


class Served(Protocol):
    """A model in its runtime."""

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Tokens up to where the assistant begins to speak, by the folder's own template."""

    def logprobs(self, tokens: Sequence[int]) -> npt.NDArray[np.float64]:
        """Row t: log-probabilities of what follows ``tokens[: t + 1]``; [T, V]."""


class _Transformers:
    """A folder of whole weights, or an adapter in PEFT's format on its base."""

    def __init__(self, folder: Path, base: Path) -> None:
        self._folder = folder
        self._model = _adapted(folder, base) if _is_adapter(folder) else _whole(folder)

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
        tokens = tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=True, return_dict=False
        )
        return [int(token) for token in tokens]

    def logprobs(self, tokens: Sequence[int]) -> npt.NDArray[np.float64]:
        import torch

        with torch.inference_mode():
            logits_TV = self._model(input_ids=torch.tensor([list(tokens)])).logits[0]
        found: npt.NDArray[np.float64] = logits_TV.double().log_softmax(-1).numpy()
        return found


def _is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").is_file()


def _whole(folder: Path) -> Any:  # a torch module: torch is no dependency of the core
    import torch
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True
    )
    return loaded.eval()


def _adapted(folder: Path, base: Path) -> Any:  # as above
    from peft import PeftModel

    return PeftModel.from_pretrained(_whole(base), str(folder)).eval()


_PACKAGES = {"transformers": ("torch", "transformers", "peft")}
_RUNTIMES: Mapping[str, Callable[[Path, Path], Served]] = {"transformers": _Transformers}


def serve(serves: str, folder: Path, base: Path) -> Served:
    """A folder, loaded by the runtime it is for; an adapter onto ``base``.

    Raises:
        NotApplicable: the kit does not know the runtime, or it is not installed.
    """
    if serves not in _RUNTIMES:
        raise NotApplicable(f"the kit knows {', '.join(_RUNTIMES)}, and not {serves!r}")
    missing = [name for name in _PACKAGES[serves] if find_spec(name) is None]
    if missing:
        raise NotApplicable(f"not installed: pip install {' '.join(missing)}")
    return _RUNTIMES[serves](folder, base)
