"""The backend: a llama without layers, and LoRA on its head. Knows no method.

Shape legend: N tokens, P those that are scored, W width, V vocabulary, R rank, X both, W + V.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import customize
import numpy as np
import numpy.typing as npt
from customize import (
    AdamW,
    Batch,
    CheckpointError,
    Done,
    Failed,
    Handle,
    LoRA,
    Loss,
    LossOutput,
    ModelError,
)
from safetensors import safe_open
from safetensors.numpy import save_file

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]
CAPABILITIES = frozenset({"forward_backward", "snapshot", "base", "save", "lora", "peft"})
_A, _B = (f"base_model.model.lm_head.lora_{side}.weight" for side in "AB")  # PEFT's names


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
    """One base, shared by its sessions: the head, and what it reads after each token."""

    capabilities, dtype = CAPABILITIES, "float64"

    def __init__(self, model: customize.ModelFolder) -> None:
        config = json.loads((model.path / "config.json").read_text("utf-8"))
        if config["model_type"] != "llama" or config["num_hidden_layers"]:
            raise ModelError(f"{model.name} has layers: the toy mlx-like computes llamas without")
        self.renderer = customize.ChatRenderer.from_folder(model.path)
        self.fingerprint = model.fingerprint
        tensors, _ = _read(model.path / "model.safetensors")
        embedded = tensors["model.embed_tokens.weight"].astype(np.float64)
        self.head_VW = tensors.get("lm_head.weight", embedded).astype(np.float64)
        root = np.sqrt((embedded**2).mean(-1, keepdims=True) + config["rms_norm_eps"])
        self.read_VW = embedded / root * tensors["model.norm.weight"]

    def open(self, adapter: customize.Adapter | Path, seed: int = 0) -> customize.Session:
        if isinstance(adapter, Path):
            tensors, facts = _read(adapter / "adapter_model.safetensors", self.fingerprint)
            lora_RX = np.concatenate([tensors[_A], tensors[_B].T], 1)
            return LoRASession(self, LoRA(**facts["adapter"]), lora_RX, seed)
        if not isinstance(adapter, LoRA) or adapter.on is not None:
            _refuse("stack" if isinstance(adapter, LoRA) else "full")
        if adapter.on:
            _refuse("stack")
        if adapter.targets not in ("all-linear", "lm_head", ("lm_head",)):
            raise customize.OptionError(f"only lm_head is adapted (got {adapter.targets!r})")
        num_tokens, width = self.head_VW.shape
        a_RW = np.random.default_rng(seed).uniform(-1, 1, (adapter.rank, width)) / np.sqrt(width)
        b_RV = np.zeros((adapter.rank, num_tokens))
        return LoRASession(self, adapter, np.concatenate([a_RW, b_RV], 1), seed)

    def base(self) -> customize.Snapshot:
        return LlamaSnapshot(self, np.zeros((1, sum(self.head_VW.shape))), 0.0)


class LlamaSnapshot(customize.Snapshot):
    """The base with LoRA's A and Bᵀ side by side, [R, X], never changed in place."""

    def __init__(self, engine: LlamaEngine, lora_RX: Numbers, scale: float) -> None:
        self.renderer = engine.renderer
        self._engine, self._lora, self._scale = engine, lora_RX, scale

    def forward(self, batch: Batch) -> Handle[Floats]:
        return Done(self._scored(batch)[0])

    def _scored(self, batch: Batch) -> tuple[Floats, Numbers, Numbers]:
        """Log-probabilities, [N]; those of every token, [P, V]; what the head reads, [P, W]."""
        head_VW, targets = self._engine.head_VW, batch.tokens[batch.scored]
        if not 0 <= batch.tokens.min() <= batch.tokens.max() < len(head_VW):
            raise customize.DataError(f"tokens are 0 to {len(head_VW) - 1}")
        x_PW = self._engine.read_VW[batch.tokens[np.flatnonzero(batch.scored) - 1]]
        a_RW, b_RV = np.split(self._lora, [x_PW.shape[1]], 1)
        logits_PV = x_PW @ head_VW.T + self._scale * (x_PW @ a_RW.T) @ b_RV
        logits_PV -= logits_PV.max(-1, keepdims=True)
        every_PV = logits_PV - np.log(np.exp(logits_PV).sum(-1, keepdims=True))
        logprobs_N = np.zeros(batch.num_tokens, np.float32)
        logprobs_N[batch.scored] = every_PV[range(len(targets)), targets]
        return logprobs_N, every_PV, x_PW

    def sample(self, *_: object, **__: object) -> NoReturn:
        _refuse("sample")


class LoRASession(LlamaSnapshot, customize.Session):
    """A matrix of its own, with AdamW (arXiv 1711.05101)."""

    capabilities = CAPABILITIES

    def __init__(self, engine: LlamaEngine, lora: LoRA, lora_RX: Numbers, seed: int) -> None:
        super().__init__(engine, lora_RX, lora.alpha / lora.rank ** (0.5 if lora.rslora else 1))
        self.seed, self._adapter, self._steps = seed, lora, 0
        self._mean = self._square = self._pending = np.zeros_like(lora_RX)
        self._named: dict[str, Numbers] = {}

    def forward_backward(self, batch: Batch, loss: Loss) -> Handle[LossOutput]:
        logprobs_N, every_PV, x_PW = self._scored(batch)
        value, gradient_N = loss.evaluate(logprobs_N, batch)
        targets, g_P = batch.tokens[batch.scored], gradient_N[batch.scored] * self._scale
        a_RW, b_RV = np.split(self._lora, [x_PW.shape[1]], 1)
        with np.errstate(invalid="ignore"):  # the step refuses what is not finite
            g_PV = -np.exp(every_PV) * g_P[:, None]
            g_PV[range(len(targets)), targets] += g_P
            grown_RX = np.concatenate([b_RV @ g_PV.T @ x_PW, a_RW @ x_PW.T @ g_PV], 1)
        self._pending = self._pending + grown_RX
        return Done(LossOutput(value, logprobs_N))

    def optim_step(self, o: AdamW) -> Handle[float]:
        g, self._pending = self._pending, np.zeros_like(self._lora)
        norm = float(np.linalg.norm(g))
        if not np.isfinite(norm):
            return Failed(customize.NonFiniteError(f"the gradient's norm is {norm}: no step"))
        g = g * min(1.0, o.max_grad_norm / norm) if o.max_grad_norm and norm else g
        self._steps += 1
        self._mean = o.beta1 * self._mean + (1 - o.beta1) * g
        self._square = o.beta2 * self._square + (1 - o.beta2) * g**2
        root = np.sqrt(self._square / (1 - o.beta2**self._steps)) + o.eps
        step = self._mean / (1 - o.beta1**self._steps) / root
        self._lora = self._lora * (1 - o.lr * o.weight_decay) - o.lr * step
        return Done(norm)

    def snapshot(self, name: str | None = None) -> customize.Snapshot:
        if name is not None:
            self._named[name] = self._lora
        return LlamaSnapshot(self._engine, self._lora, self._scale)

    def named_snapshot(self, name: str) -> customize.Snapshot:
        if name not in self._named:
            raise CheckpointError(f"no snapshot {name!r}: there are {sorted(self._named)}")
        return LlamaSnapshot(self._engine, self._named[name], self._scale)

    def base(self) -> customize.Snapshot:
        return self._engine.base()

    def save(self, folder: Path) -> None:
        own = {"lora": self._lora, "mean": self._mean, "square": self._square}
        own |= {"pending": self._pending, **{f"named {n}": x for n, x in self._named.items()}}
        self._write(folder / "state.safetensors", own, {"seed": self.seed, "steps": self._steps})

    def load(self, folder: Path) -> None:
        found, facts = _read(folder / "state.safetensors", self._engine.fingerprint)
        self.seed, self._steps = facts["seed"], facts["steps"]
        own = (found.pop(name) for name in ("lora", "mean", "square", "pending"))
        self._lora, self._mean, self._square, self._pending = own
        self._named = {name.removeprefix("named "): lora for name, lora in found.items()}

    def save_weights(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        o, width = self._adapter, self._engine.head_VW.shape[1]
        peft: dict[str, object] = {"peft_type": "LORA", "r": o.rank, "lora_alpha": o.alpha}
        peft |= {"use_rslora": o.rslora, "task_type": "CAUSAL_LM", "target_modules": ["lm_head"]}
        (folder / "adapter_config.json").write_text(json.dumps(peft), "utf-8")
        tensors = {_A: self._lora[:, :width], _B: self._lora[:, width:].T}
        facts = {"adapter": {"rank": o.rank, "alpha": o.alpha, "rslora": o.rslora}}
        self._write(folder / "adapter_model.safetensors", tensors, facts)

    def _write(self, file: Path, tensors: dict[str, Numbers], facts: dict[str, Any]) -> None:
        whole = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
        told = json.dumps({**facts, "base": self._engine.fingerprint})
        save_file(whole, file, metadata={"format": "pt", "facts": told})


def _refuse(capability: str) -> NoReturn:
    raise customize.Unsupported(f"the backend mlx-like does not declare {capability!r}")


def _read(file: Path, base: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and facts; none but those of a base have no base themselves."""
    if not file.is_file():
        raise CheckpointError(f"{file.parent} lacks {file.name}")
    with safe_open(file, "numpy") as found:
        facts = json.loads((found.metadata() or {}).get("facts", "{}"))
        if facts.get("base") != base:
            raise ModelError(f"{file} was made from another base: open it with that one")
        if not {found.get_slice(name).get_dtype() for name in found.keys()} <= {"F32", "F64"}:
            raise ModelError(f"{file} is in neither float32 nor float64: convert it")
        return {name: found.get_tensor(name) for name in found.keys()}, facts
