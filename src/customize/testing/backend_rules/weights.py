"""Rules about weights as the rest of the world loads them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from customize._batch import Batch
from customize.interfaces.backend import Full
from customize.testing.backend_rules.subject import BackendSubject
from customize.testing.expecting import expect, expect_close
from customize.testing.rules import NotApplicable, needs


@needs("forward_backward", "save", "peft")
def check_peft_loads_the_weights(subject: BackendSubject) -> None:
    """PEFT loads what ``save_weights`` wrote onto the base, or transformers where all weights are
    trained, and gives the session's log-probabilities.
    """
    missing = [name for name in ("torch", "transformers", "peft") if find_spec(name) is None]
    if missing:
        raise NotApplicable(f"needs {', '.join(missing)}: pip install {' '.join(missing)}")
    for adapter in subject.adapters:
        session = subject.trained(adapter)
        folder = subject.folder() / "weights"
        session.save_weights(folder)
        is_whole = isinstance(adapter, Full)
        theirs = _whole(folder) if is_whole else _adapted(subject.model.path, folder)
        row = subject.batch(lengths=(24,), seed=6)
        told = f"{type(adapter).__name__}: log-probabilities of other libraries"
        found, wanted = session.forward(row).result(), _plain(theirs, row)
        expect_close(found, wanted, subject.tolerance.logprobs, told)
        base = subject.engine.base().forward(row).result()
        expect(bool(np.abs(wanted - base).max() > 0), "what was saved is the base")


def _whole(folder: Path) -> Any:  # a torch module: torch is no dependency of the core
    import torch
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True
    )
    return loaded.eval()


def _adapted(base: Path, folder: Path) -> Any:  # as above
    from peft import PeftModel

    return PeftModel.from_pretrained(_whole(base), str(folder)).eval()


def _plain(model: Any, row: Batch) -> npt.NDArray[np.float32]:  # as above
    """One sequence's log-probabilities by the model's own forward and log_softmax."""
    import torch

    tokens = torch.from_numpy(row.tokens.astype(np.int64))
    with torch.no_grad():
        logprobs_TV = model(input_ids=tokens[None]).logits[0, :-1].float().log_softmax(-1)
    out = np.zeros(row.num_tokens, np.float32)
    out[1:] = logprobs_TV.gather(1, tokens[1:, None])[:, 0].numpy()
    return out * row.scored
