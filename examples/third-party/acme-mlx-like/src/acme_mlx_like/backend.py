"""The backend: LoRA on a llama behind the waist. Knows no method. N tokens of a batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import customize
import numpy as np
import numpy.typing as npt
from customize import (
    AdamW,
    Batch,
    CheckpointError,
    DataError,
    Done,
    Handle,
    LoRA,
    LossOutput,
    Unsupported,
)
from safetensors.numpy import load_file, save_file

from acme_mlx_like.runtime import arrays
from acme_mlx_like.runtime.llama import LINEAR, Llama

Floats = npt.NDArray[np.float32]
Tensors = Mapping[str, arrays.Numbers]  # never changed in place: a snapshot is a reference
CAPABILITIES = frozenset({"forward_backward", "snapshot", "base", "save", "lora", "peft"})
_PEFT, _STATE = "base_model.model.", "state.safetensors"
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


class MLXLike(customize.Backend):
    """numpy, in float64. It neither samples nor trains every weight, and says so."""

    name = "mlx-like"

    def probe(self) -> str | None:
        return None

    def capabilities(self) -> frozenset[str]:
        return CAPABILITIES

    def load(self, model: customize.ModelFolder) -> customize.Engine:
        return LlamaEngine(model)


class LlamaEngine(customize.Engine):
    """One base, shared by its sessions."""

    capabilities, dtype = CAPABILITIES, "float64"

    def __init__(self, model: customize.ModelFolder) -> None:
        self.llama, self.fingerprint = Llama(model), model.fingerprint
        self.renderer = customize.ChatRenderer.from_folder(model.path)

    def open(self, adapter: customize.Adapter | Path, seed: int = 0) -> customize.Session:
        if isinstance(adapter, Path):
            return LoRASession(self, *_read_adapter(adapter, self.fingerprint), seed)
        if not isinstance(adapter, LoRA):
            _refuse("full")
        given = adapter.targets
        targets = LINEAR if given == "all-linear" else (given,) if isinstance(given, str) else given
        if wrong := set(targets) - set(LINEAR):
            raise customize.OptionError(f"no layer {min(wrong)!r}: there are {', '.join(LINEAR)}")
        rng, tensors = np.random.default_rng(seed), {}
        for name in (n for n in self.llama.linear if n.endswith(tuple(targets))):
            rows, columns = self.llama.weights[f"{name}.weight"].shape
            width = 1 / np.sqrt(columns)
            tensors[f"{name}.lora_A.weight"] = rng.uniform(-width, width, (adapter.rank, columns))
            tensors[f"{name}.lora_B.weight"] = np.zeros((rows, adapter.rank))
        return LoRASession(self, adapter, tensors, seed)

    def base(self) -> customize.Snapshot:
        return LlamaSnapshot(self, {}, 0.0)


class LlamaSnapshot(customize.Snapshot):
    """The base with these tensors; with none it is the base."""

    def __init__(self, engine: LlamaEngine, tensors: Tensors, scale: float) -> None:
        self.renderer = engine.renderer
        self._llama, self._tensors, self._scale = engine.llama, tensors, scale

    def forward(self, batch: Batch) -> Handle[Floats]:
        return Done(_joined(self.parts(batch, self._tensors), batch))

    def parts(
        self, batch: Batch, lora: Mapping[str, arrays.Value]
    ) -> list[tuple[slice, arrays.Value]]:
        """For each sequence that is scored its places, and the log-probabilities there."""
        if not 0 <= batch.tokens.min() <= batch.tokens.max() < self._llama.vocabulary:
            raise DataError(f"tokens are 0 to {self._llama.vocabulary - 1}")
        ranges = zip(batch.offsets[:-1], batch.offsets[1:], strict=True)
        return [
            (slice(a + 1, b), self._llama.logprobs(batch.tokens[a:b], lora, self._scale))
            for a, b in ranges
            if batch.scored[a:b].any()
        ]

    def sample(self, *_: object, **__: object) -> NoReturn:
        _refuse("sample")


class LoRASession(LlamaSnapshot, customize.Session):
    """Tensors of its own, with AdamW (arXiv 1711.05101)."""

    capabilities = CAPABILITIES

    def __init__(self, engine: LlamaEngine, lora: LoRA, tensors: Tensors, seed: int) -> None:
        scale = lora.alpha / (np.sqrt(lora.rank) if lora.rslora else lora.rank)
        super().__init__(engine, tensors, scale)
        self.seed, self._engine, self._lora, self._steps = seed, engine, lora, 0
        self._pending = self._mean = self._square = _zeros(tensors)
        self._named: dict[str, Tensors] = {}

    def forward_backward(self, batch: Batch, loss: customize.Loss) -> Handle[LossOutput]:
        leaves = {name: arrays.Array(value) for name, value in self._tensors.items()}
        parts = self.parts(batch, leaves)
        logprobs = _joined(parts, batch)
        value, gradient_N = loss.evaluate(logprobs, batch)
        gradient_N = np.where(batch.scored, gradient_N, 0.0)
        for places, part in parts:
            grown = arrays.gradients(part, gradient_N[places], list(leaves.values()))
            pending = zip(self._pending.items(), grown, strict=True)
            self._pending = {name: old + new for (name, old), new in pending}
        return Done(LossOutput(value, logprobs))

    def optim_step(self, o: AdamW) -> Handle[float]:
        gradient, self._pending = self._pending, _zeros(self._tensors)
        norm = float(np.sqrt(sum((g**2).sum() for g in gradient.values())))
        if not np.isfinite(norm):
            return _Failed(customize.NonFiniteError(f"the gradient's norm is {norm}: no step"))
        by = o.max_grad_norm / norm if o.max_grad_norm and norm > o.max_grad_norm else 1.0
        self._steps += 1
        mean, square, moved = {}, {}, {}
        for name, g in gradient.items():
            mean[name] = o.beta1 * self._mean[name] + (1 - o.beta1) * g * by
            square[name] = o.beta2 * self._square[name] + (1 - o.beta2) * (g * by) ** 2
            root = np.sqrt(square[name] / (1 - o.beta2**self._steps)) + o.eps
            step = mean[name] / (1 - o.beta1**self._steps) / root
            moved[name] = self._tensors[name] * (1 - o.lr * o.weight_decay) - o.lr * step
        self._tensors, self._mean, self._square = moved, mean, square
        return Done(norm)

    def snapshot(self, name: str | None = None) -> customize.Snapshot:
        if name is not None:
            self._named[name] = self._tensors
        return LlamaSnapshot(self._engine, self._tensors, self._scale)

    def named_snapshot(self, name: str) -> customize.Snapshot:
        if name not in self._named:
            raise CheckpointError(f"no snapshot {name!r}: there are {sorted(self._named)}")
        return LlamaSnapshot(self._engine, self._named[name], self._scale)

    def base(self) -> customize.Snapshot:
        return self._engine.base()

    def save(self, folder: Path) -> None:
        groups = {"now": self._tensors, "mean": self._mean, "square": self._square}
        groups |= {"pending": self._pending} | {f"named/{n}": t for n, t in self._named.items()}
        flat = {f"{group}//{n}": t for group, some in groups.items() for n, t in some.items()}
        save_file(flat, folder / _STATE)
        facts = {"base": self._engine.fingerprint, "seed": self.seed, "steps": self._steps}
        (folder / "state.json").write_text(json.dumps(facts), "utf-8")

    def load(self, folder: Path) -> None:
        facts = _facts(folder, self._engine.fingerprint, "state.json", _STATE)
        groups: dict[str, dict[str, arrays.Numbers]] = {}
        for name, tensor in load_file(folder / _STATE).items():
            groups.setdefault(name.split("//")[0], {})[name.split("//")[1]] = tensor
        self.seed, self._steps = facts["seed"], facts["steps"]
        self._tensors, self._mean, self._square, self._pending = (
            groups.pop(group) for group in ("now", "mean", "square", "pending")
        )
        self._named = {name.removeprefix("named/"): some for name, some in groups.items()}

    def save_weights(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        layers = {name.split(".")[-3] for name in self._tensors}
        facts = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "target_modules": sorted(layers),
            "r": self._lora.rank,
            "lora_alpha": self._lora.alpha,
            "use_rslora": self._lora.rslora,
            "bias": "none",
        }
        (folder / _CONFIG).write_text(json.dumps(facts), "utf-8")
        (folder / "base.json").write_text(json.dumps({"base": self._engine.fingerprint}), "utf-8")
        named = {f"{_PEFT}{n}": t for n, t in self._tensors.items()}
        save_file(named, folder / _WEIGHTS, metadata={"format": "pt"})


class _Failed:
    """A handle whose work failed."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def result(self) -> float:
        raise self._error

    def done(self) -> bool:
        return True


def _refuse(capability: str) -> NoReturn:
    raise Unsupported(f"the backend mlx-like does not declare {capability!r}")


def _zeros(tensors: Tensors) -> Tensors:
    return {name: np.zeros_like(tensor) for name, tensor in tensors.items()}


def _joined(parts: list[tuple[slice, arrays.Value]], batch: Batch) -> Floats:
    logprobs_N = np.zeros(batch.num_tokens, np.float32)
    for places, part in parts:
        logprobs_N[places] = arrays.raw(part)
    return np.where(batch.scored, logprobs_N, np.float32(0))


def _facts(folder: Path, base: str, file: str, *others: str) -> dict[str, Any]:
    """What the JSON file says, which has others beside it and is of this base."""
    for name in (file, *others):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} lacks {name}")
    found: dict[str, Any] = json.loads((folder / file).read_text("utf-8"))
    if found.get("base") != base:
        raise customize.ModelError(f"{folder} was made from another base: open it with that one")
    return found


def _read_adapter(folder: Path, base: str) -> tuple[LoRA, Tensors]:
    _facts(folder, base, "base.json", _CONFIG, _WEIGHTS)
    facts = json.loads((folder / _CONFIG).read_text("utf-8"))
    lora = LoRA(rank=facts["r"], alpha=facts["lora_alpha"], rslora=facts["use_rslora"])
    return lora, {n.removeprefix(_PEFT): t for n, t in load_file(folder / _WEIGHTS).items()}
