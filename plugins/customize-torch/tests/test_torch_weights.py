"""What leaves a session is what the rest of the world loads, and only onto its own base."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from transformers import LlamaForCausalLM

from customize import (
    AdamW,
    Batch,
    CrossEntropy,
    Engine,
    Full,
    LoRA,
    ModelError,
    ModelFolder,
    Session,
)


def learnt(engine: Engine, batch: Batch, adapter: LoRA | Full) -> Session:
    session = engine.open(adapter, seed=1)
    session.forward_backward(batch, CrossEntropy())
    session.optim_step(AdamW(lr=1e-2)).result()
    return session


def plain_logprobs(model: torch.nn.Module, batch: Batch) -> npt.NDArray[np.floating]:
    """One sequence's log-probabilities by the model's own forward."""
    tokens = torch.from_numpy(batch.tokens.astype(np.int64))
    with torch.no_grad():
        logits = model(input_ids=tokens[None]).logits[0, :-1].log_softmax(-1)
    wanted: npt.NDArray[np.floating] = torch.cat(
        [torch.zeros(1), logits.gather(1, tokens[1:, None])[:, 0]]
    ).numpy()
    return wanted * batch.scored


@pytest.mark.slow
@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "down_proj")])
def test_peft_loads_an_adapter_with_the_same_logprobs(
    engine: Engine,
    model: ModelFolder,
    batch: Batch,
    tmp_path: Path,
    rslora: bool,
    targets: str | tuple[str, ...],
) -> None:
    peft = pytest.importorskip("peft")
    session = learnt(engine, batch, LoRA(rank=4, rslora=rslora, targets=targets))
    session.save_weights(tmp_path)
    plain = LlamaForCausalLM.from_pretrained(model.path, dtype=torch.float32)
    theirs = peft.PeftModel.from_pretrained(plain, tmp_path).eval()
    row = batch.take([3])
    np.testing.assert_allclose(
        session.forward(row).result(), plain_logprobs(theirs, row), atol=1e-5
    )


def test_another_bases_weights_are_refused(engine: Engine, other: Engine, tmp_path: Path) -> None:
    session = engine.open(LoRA(rank=2))
    session.save_weights(tmp_path / "adapter")
    session.save(tmp_path)
    with pytest.raises(ModelError, match="another base"):
        other.open(tmp_path / "adapter")
    with pytest.raises(ModelError, match="another base"):
        other.open(LoRA(rank=2)).load(tmp_path)
