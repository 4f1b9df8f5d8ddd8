"""How fast each primitive is, and which share of the device's peak that is.

A token of LoRA training costs 4 floating point operations a weight (two products forward and
backward by the input; none for the weight's own gradient), and causal attention three times its
forward pass. A decoding step reads every weight and the cache once.
"""

from __future__ import annotations

import argparse
import gc
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch

from customize import AdamW, Backend, CrossEntropy, Engine, LoRA, ModelShape, Prompt, Sampling
from customize_torch.checking import shapes
from customize_torch.gpu import GPU

LENGTH = 2048
_ROUNDS = 5
_ROWS, _PROMPT, _NEW = 64, 128, 256

_LLAMA_8B = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128_256,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500_000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}
_QWEN_HALF_B = {
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
}
SHAPES = {
    "0.5B": shapes.Size(config=_QWEN_HALF_B, token_budget=32_768),
    "8B": shapes.Size(config=_LLAMA_8B, token_budget=8192),
    "8B in int8": shapes.Size(config=_LLAMA_8B, token_budget=8192, base="int8"),
    "8B in nf4": shapes.Size(config=_LLAMA_8B, token_budget=8192, base="nf4"),
    "8B in bnb-nf4": shapes.Size(config=_LLAMA_8B, token_budget=8192, base="bnb-nf4"),
}
# Dense bf16 operations a second and bytes a second, by what the device's name contains; vendors'
# data sheets. Of any other device the share is of what is measured here.
_SHEETS = {
    "H200": (989e12, 4.8e12),
    "H100 80GB": (989e12, 3.35e12),
    "H100 NVL": (835e12, 3.9e12),
    "H100 PCIe": (756e12, 2.0e12),
    "A100-SXM4-80GB": (312e12, 2.04e12),
    "A100-SXM4-40GB": (312e12, 1.56e12),
    "A100": (312e12, 1.94e12),
    "L40S": (362e12, 0.864e12),
    "L4": (121e12, 0.3e12),
    "RTX 4090": (165e12, 1.01e12),
    "RTX 3090": (71e12, 0.936e12),
    "MI300X": (1307e12, 5.3e12),
    "MI325X": (1307e12, 6.0e12),
}


@attrs.frozen
class Peaks:
    """Operations and bytes a second: by the data sheet where one is known, and measured."""

    flops: float
    bytes: float
    measured_flops: float
    measured_bytes: float


def check(backend: type[GPU], asked: argparse.Namespace) -> dict[str, Any]:
    """By shape: seconds, tokens a second, memory and shares of the peak of every primitive."""
    peaks = _peaks()
    found: dict[str, Any] = {"peaks": attrs.asdict(peaks)}
    room = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    for name in asked.shapes:
        with tempfile.TemporaryDirectory(dir=room) as folder:
            size = SHAPES[name]
            model = shapes.write(size, Path(folder, name))
            device = backend(token_budget=size.token_budget, base=size.base).settled({})
            planned = _planned(device, ModelShape.of_folder(model.path), size.token_budget)
            begun = time.perf_counter()
            engine = device.load(model)
            loading = time.perf_counter() - begun
            shutil.rmtree(folder, ignore_errors=True)
        found[name] = {"load_seconds": loading, **_train(engine, size, peaks)}
        found[name] |= {"held_gb": _held() / 1e9, "planned_gb": planned / 1e9}
        found[name] |= _decode(engine, size, peaks)
        del engine
        gc.collect()  # a base and its layers' functions hold one another
        torch.cuda.empty_cache()
    return found


def _planned(device: Backend, shape: ModelShape, tokens: int) -> float:
    """Bytes, as ``customize plan`` says them of the training below."""
    return sum(device.memory(shape, LoRA(rank=16), LENGTH, tokens).values())


def _held() -> float:
    """Bytes of the device that are taken, by whatever; torch gives none back while it trains."""
    free, total = torch.cuda.mem_get_info()
    return float(total - free)


def _train(engine: Engine, size: shapes.Size, peaks: Peaks) -> dict[str, Any]:
    """Each primitive on one piece of packed sequences, every token trained on."""
    batch = shapes.packed(size, size.token_budget // LENGTH, LENGTH)
    session = engine.open(LoRA(rank=16), seed=0)
    torch.cuda.reset_peak_memory_stats()
    taken = _median(
        {
            "forward": lambda: session.forward(batch).result(),
            "forward_backward": lambda: session.forward_backward(batch, CrossEntropy()).result(),
            "optim_step": lambda: session.optim_step(AdamW(lr=1e-4)).result(),
        }
    )
    attention = size.attention_flops(LENGTH)
    step = taken["forward_backward"] + taken["optim_step"]
    # Of a session without a gradient the head needs one product of the two.
    head = size.config["hidden_size"] * size.config["vocab_size"]
    flops = {
        "forward": 2 * size.matrices + attention,
        "forward_backward": 4 * size.matrices + 3 * attention,
    }
    return {
        "tokens": batch.num_tokens,
        "sequence": LENGTH,
        "matrices": size.matrices,
        "head_share": head / size.matrices,
        "seconds": taken,
        "tokens_per_second": batch.num_tokens / step,
        "mfu_forward": flops["forward"] * batch.num_tokens / taken["forward"] / peaks.flops,
        "mfu": flops["forward_backward"] * batch.num_tokens / step / peaks.flops,
        "of_measured_peak": (
            flops["forward_backward"] * batch.num_tokens / step / peaks.measured_flops
        ),
        "peak_gb": torch.cuda.max_memory_allocated() / 1e9,
    }


def _decode(engine: Engine, size: shapes.Size, peaks: Peaks) -> dict[str, Any]:
    """Steps of 64 rows: two runs that differ in their length alone, so that the prefill drops out.

    Rows start equal in length; the bound reads what a row holds in the middle of its way.
    """
    session = engine.open(LoRA(rank=16), seed=0)
    rng = np.random.default_rng(0)
    prompts = [
        Prompt(rng.integers(0, size.config["vocab_size"], _PROMPT), seed=row)
        for row in range(_ROWS)
    ]

    def sample(count: int) -> Callable[[], Any]:
        asked = Sampling(max_tokens=count, stop_tokens=())
        return lambda: session.sample(prompts, asked).result()

    taken = _median({"short": sample(_NEW // 4), "long": sample(_NEW)}, rounds=2)
    step = (taken["long"] - taken["short"]) / (_NEW - _NEW // 4)
    held = _PROMPT + (_NEW + _NEW // 4) / 2
    needed = 2 * size.matrices + _ROWS * held * size.cached_bytes
    return {
        "decode_rows": _ROWS,
        "decode_step_seconds": step,
        "decode_tokens_per_second": _ROWS / step,
        "decode_of_bound": needed / peaks.bytes / step,
    }


def _median(works: dict[str, Callable[[], Any]], rounds: int = _ROUNDS) -> dict[str, float]:
    """Seconds of each, the works in turns, after one round that counts for nothing."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            torch.cuda.synchronize()
            begun = time.perf_counter()
            work()
            torch.cuda.synchronize()
            taken[name].append(time.perf_counter() - begun)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def _peaks() -> Peaks:
    name = torch.cuda.get_device_name()
    flops, num_bytes = _measured_flops(), _measured_bytes()
    sheet = next((peak for part, peak in _SHEETS.items() if part in name), (flops, num_bytes))
    return Peaks(*sheet, flops, num_bytes)


def _measured_flops() -> float:
    size = 8192
    x, y = (torch.randn(size, size, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    return 2 * size**3 / _median({"product": lambda: x @ y})["product"]


def _measured_bytes() -> float:
    """Read and written."""
    x = torch.randn(1 << 29, dtype=torch.float32, device="cuda")
    y = torch.empty_like(x)
    return 2 * x.nbytes / _median({"copy": lambda: y.copy_(x)})["copy"]
