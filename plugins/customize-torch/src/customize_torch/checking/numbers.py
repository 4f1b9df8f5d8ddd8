"""Log-probabilities and gradients of the device beside the processor's in float32."""

from __future__ import annotations

import argparse
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from customize import AdamW, Batch, CrossEntropy, Engine, LoRA
from customize_torch.backend import CPU
from customize_torch.checking import shapes
from customize_torch.checking.shapes import bases
from customize_torch.gpu import GPU
from customize_torch.holding import PLAIN
from customize_torch.storage import read_tensors

Floats = npt.NDArray[np.float64]

_SIZE = shapes.Size(
    config={
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 512,
        "intermediate_size": 1536,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "vocab_size": 32_000,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
    },
    token_budget=8192,
)
# How far apart the gradient as a whole may be: rounding of the type, through eight layers.
_ALLOWED = {"float32": 1e-4, "bfloat16": 5e-2}


def check(backend: type[GPU], asked: argparse.Namespace) -> dict[str, Any]:
    """Differences by type, kernels and base: of log-probabilities in nats, of the gradient
    relative.
    """
    kernels = ["torch", *(["triton"] if find_spec("triton") else [])]
    with tempfile.TemporaryDirectory() as folder:
        model = shapes.write(_SIZE, Path(folder, "small llama"))
        states = {base: Path(folder, base) for base in bases()}
        exact = {}
        for base, state in states.items():
            engine = CPU(dtype="float32", base=base).load(model)
            _write_state(engine, state)
            exact[base] = _of(engine, state)
        ways = [(PLAIN, name) for name in kernels]
        ways += [(base, kernels[-1]) for base in exact if base != PLAIN]
        rows: list[dict[str, Any]] = [
            {"dtype": dtype, "kernels": name, "base": base}
            | _apart(
                _of(backend(dtype=dtype, kernels=name, base=base).load(model), states[base]),
                exact[base],
            )
            for dtype in _ALLOWED
            for base, name in ways
        ]
    # Written so that a NaN fails.
    failed = [row for row in rows if not row["gradient"] <= _ALLOWED[row["dtype"]]]
    return {"against": "cpu, float32", "rows": rows, "failed": failed}


def _batch() -> Batch:
    """Rows of many lengths, and groups that share a prompt."""
    rng = np.random.default_rng(1)
    prompt = rng.integers(0, 32_000, 100)
    rows = [rng.integers(0, 32_000, n) for n in (3, 17, 64, 65, 130, 300, 511)]
    rows += [np.concatenate([prompt, rng.integers(0, 32_000, n)]) for n in (5, 40, 90)]
    groups = [0, 1, 2, 3, 4, 5, 6, 7, 7, 7]
    weights = [np.where(np.arange(len(row)), 1e-3, 0.0) for row in rows]
    pairs = [(row, {"weights": w}) for row, w in zip(rows, weights, strict=True)]
    return Batch.from_sequences(pairs, groups=groups)


def _write_state(engine: Engine, folder: Path) -> None:
    """A step from the start, where half of the gradient is zero: every device goes on from it."""
    session = engine.open(LoRA(), seed=3)
    session.forward_backward(_batch(), CrossEntropy()).result()
    session.optim_step(AdamW(lr=1e-2)).result()
    folder.mkdir()
    session.save(folder)


def _of(engine: Engine, state: Path) -> tuple[Floats, Floats]:
    """Log-probabilities, and the gradient as one vector."""
    session = engine.open(LoRA(), seed=3)
    session.load(state)
    logprobs = session.forward_backward(_batch(), CrossEntropy()).result().logprobs
    with tempfile.TemporaryDirectory() as folder:
        session.save(Path(folder))
        saved = read_tensors(Path(folder, "state.safetensors"), torch.device("cpu"))
    pending = saved["gradients"]
    flat = [pending[name].double().flatten() for name in sorted(pending)]
    return logprobs.astype(np.float64), torch.cat(flat).numpy()


def _apart(found: tuple[Floats, Floats], exact: tuple[Floats, Floats]) -> dict[str, float]:
    difference = np.abs(found[0] - exact[0])
    away = np.linalg.norm(found[1] - exact[1]) / np.linalg.norm(exact[1])
    return {
        "logprobs_mean": float(difference[exact[0] != 0].mean()),
        "logprobs_max": float(difference.max()),
        "gradient": float(away),
    }
