"""It computes what transformers computes, in a whole run as well."""

from __future__ import annotations

from pathlib import Path

import customize
import numpy as np
import pytest
from customize import AdamW, Batch, CrossEntropy, Full, LoRA, ModelError, OptionError, Unsupported
from customize.testing import write_tiny_model

from acme_mlx_like.backend import MLXLike


def batch() -> Batch:
    rng = np.random.default_rng(1)
    return Batch.from_sequences(
        [(rng.integers(0, 256, n), {"weights": np.ones(n)}) for n in (9, 4)]
    )


def test_log_probabilities_are_those_of_transformers(tmp_path: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model = write_tiny_model(tmp_path / "model", num_layers=0)
    reference = transformers.AutoModelForCausalLM.from_pretrained(model.path).double()
    expected = []
    for tokens in np.split(batch().tokens, batch().offsets[1:-1]):
        with torch.no_grad():
            logits = reference(torch.tensor(tokens[None].astype(np.int64))).logits[0]
        logprobs = logits.log_softmax(-1).numpy()[np.arange(len(tokens) - 1), tokens[1:]]
        expected.append(np.concatenate([[0.0], logprobs]))
    got = MLXLike().load(model).base().forward(batch()).result()
    np.testing.assert_allclose(got, np.concatenate(expected), atol=1e-5)


def test_it_trains_a_saved_adapter_on(tmp_path: Path) -> None:
    engine = MLXLike().load(write_tiny_model(tmp_path / "model", num_layers=0))
    session = engine.open(LoRA(rank=2, rslora=True, targets=("lm_head",)))
    for _ in range(3):
        session.forward_backward(batch(), CrossEntropy())
        session.optim_step(AdamW(lr=1e-2)).result()
    session.save_weights(tmp_path / "adapter")
    again = engine.open(tmp_path / "adapter")
    trained, base = (s.forward(batch()).result() for s in (session, engine.base()))
    np.testing.assert_allclose(again.forward(batch()).result(), trained, atol=1e-6)
    assert trained.sum() > base.sum()


def test_a_run_on_it_learns(tmp_path: Path) -> None:
    pytest.importorskip("customize_sft")
    answer = {"role": "assistant", "content": "aaaa"}
    rows = [{"messages": [{"role": "user", "content": "b"}, answer]}]
    model = write_tiny_model(tmp_path / "model", num_layers=0).path
    options = {"steps": 5, "lr": 0.05}
    run = customize.train(
        model=model, data=rows, backend=MLXLike(), options=options, to=tmp_path / "run"
    )
    losses = [row["loss"] for row in run.metrics]
    assert losses[-1] < losses[0]


def test_what_it_has_not_is_refused_by_name(tmp_path: Path) -> None:
    engine = MLXLike().load(write_tiny_model(tmp_path / "model", num_layers=0))
    with pytest.raises(Unsupported, match="'full'"):
        engine.open(Full())
    with pytest.raises(OptionError, match="only lm_head is adapted"):
        engine.open(LoRA(targets="q_proj"))
    with pytest.raises(ModelError, match="has layers"):
        MLXLike().load(write_tiny_model(tmp_path / "deep"))
