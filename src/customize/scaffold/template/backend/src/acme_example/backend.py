"""The backend: a logit for each token, whatever comes before it. Knows no method.

Shape legend: N tokens of a batch, V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from customize import (
    AdamW,
    Adapter,
    Backend,
    Batch,
    ChatRenderer,
    CheckpointError,
    Completion,
    DataError,
    Done,
    Engine,
    Failed,
    Full,
    Handle,
    Loss,
    LossOutput,
    ModelError,
    ModelFolder,
    NonFiniteError,
    OnToken,
    Prompt,
    Sampling,
    Session,
    Snapshot,
    Unsupported,
)
from safetensors.numpy import load_file, save_file

Numbers = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
CAPABILITIES = frozenset({"forward_backward", "save", "full"})


class Example(Backend):
    """Computes in numpy, so it runs everywhere."""

    name = "example"

    def probe(self) -> str | None:
        return None

    def capabilities(self) -> frozenset[str]:
        return CAPABILITIES

    def load(self, model: ModelFolder) -> Engine:
        return UnigramEngine(model)


class UnigramEngine(Engine):
    """The base: every token is as likely as any other."""

    capabilities = CAPABILITIES

    def __init__(self, model: ModelFolder) -> None:
        config = json.loads((model.path / "config.json").read_text("utf-8"))
        self.renderer = ChatRenderer.from_folder(model.path)
        self.fingerprint = model.fingerprint
        self.logits_V: Numbers = np.zeros(config["vocab_size"])

    def open(self, adapter: Adapter | Path, seed: int = 0) -> Session:
        if isinstance(adapter, Path):
            return UnigramSession(self, _read(adapter, self.fingerprint)["logits"], seed)
        if not isinstance(adapter, Full):
            _refuse("lora")
        return UnigramSession(self, self.logits_V, seed)

    def base(self) -> Snapshot:
        return UnigramSnapshot(self, self.logits_V)


class UnigramSnapshot(Snapshot):
    """Logits that do not move: every step of a session makes new ones."""

    def __init__(self, engine: UnigramEngine, logits_V: Numbers) -> None:
        self.renderer = engine.renderer
        self._logits = logits_V

    def forward(self, batch: Batch) -> Handle[Floats]:
        _check_tokens(batch, len(self._logits))
        logprobs = np.where(batch.scored, _log_softmax(self._logits)[batch.tokens], 0)
        return Done(logprobs.astype(np.float32))

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Handle[list[list[Completion]]]:
        _refuse("sample")


class UnigramSession(Session):
    """Logits of its own, with AdamW (arXiv 1711.05101)."""

    capabilities = CAPABILITIES

    def __init__(self, engine: UnigramEngine, logits_V: Numbers, seed: int) -> None:
        self.renderer = engine.renderer
        self.seed = seed
        self._engine = engine
        self._steps = 0
        self._state = {"logits": logits_V}
        self._state |= {name: np.zeros_like(logits_V) for name in ("mean", "square", "pending")}

    def forward(self, batch: Batch) -> Handle[Floats]:
        return UnigramSnapshot(self._engine, self._state["logits"]).forward(batch)

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Handle[list[list[Completion]]]:
        _refuse("sample")

    def forward_backward(self, batch: Batch, loss: Loss) -> Handle[LossOutput]:
        logprobs = self.forward(batch).result()
        value, gradient_N = loss.evaluate(logprobs, batch)
        gradient_N = np.where(batch.scored, gradient_N, 0)
        probabilities_V = np.exp(_log_softmax(self._state["logits"]))
        gradient_V = -gradient_N.sum() * probabilities_V
        with np.errstate(invalid="ignore"):  # the step refuses what is not finite
            np.add.at(gradient_V, batch.tokens, gradient_N)
        self._state["pending"] = self._state["pending"] + gradient_V
        return Done(LossOutput(value, logprobs))

    def optim_step(self, optimizer: AdamW) -> Handle[float]:
        gradient = self._state["pending"]
        self._state["pending"] = np.zeros_like(gradient)
        norm = float(np.linalg.norm(gradient))
        if not np.isfinite(norm):
            return Failed(NonFiniteError(f"the gradient's norm is {norm}: nothing was changed"))
        if optimizer.max_grad_norm and norm > optimizer.max_grad_norm:
            gradient = gradient * (optimizer.max_grad_norm / norm)
        self._adamw(gradient, optimizer)
        return Done(norm)

    def _adamw(self, gradient: Numbers, o: AdamW) -> None:
        self._steps += 1
        mean = o.beta1 * self._state["mean"] + (1 - o.beta1) * gradient
        square = o.beta2 * self._state["square"] + (1 - o.beta2) * gradient**2
        rate = mean / (1 - o.beta1**self._steps)
        scale = np.sqrt(square / (1 - o.beta2**self._steps)) + o.eps
        logits = self._state["logits"] * (1 - o.lr * o.weight_decay) - o.lr * rate / scale
        self._state |= {"logits": logits, "mean": mean, "square": square}

    def snapshot(self, name: str | None = None) -> Snapshot:
        _refuse("snapshot")

    def named_snapshot(self, name: str) -> Snapshot:
        _refuse("snapshot")

    def base(self) -> Snapshot:
        _refuse("base")

    def save(self, folder: Path) -> None:
        facts = {"steps": self._steps, "seed": self.seed}
        _write(folder, self._state, {**facts, "base": self._engine.fingerprint})

    def load(self, folder: Path) -> None:
        self._state = _read(folder, self._engine.fingerprint)
        facts = json.loads((folder / "state.json").read_text("utf-8"))
        self._steps, self.seed = facts["steps"], facts["seed"]

    def save_weights(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, {"logits": self._state["logits"]}, {"base": self._engine.fingerprint})


def _refuse(capability: str) -> NoReturn:
    raise Unsupported(f"the backend {Example.name!r} does not declare {capability!r}")


def _check_tokens(batch: Batch, num_tokens: int) -> None:
    if not 0 <= batch.tokens.min() <= batch.tokens.max() < num_tokens:
        raise DataError(f"tokens are 0 to {num_tokens - 1} (got {batch.tokens.max()})")


def _log_softmax(logits_V: Numbers) -> Numbers:
    highest = logits_V.max()
    shifted: Numbers = logits_V - highest - np.log(np.exp(logits_V - highest).sum())
    return shifted


def _write(folder: Path, state: dict[str, Numbers], facts: dict[str, Any]) -> None:
    save_file(state, folder / "state.safetensors")
    (folder / "state.json").write_text(json.dumps(facts), "utf-8")


def _read(folder: Path, base: str) -> dict[str, Numbers]:
    for name in ("state.json", "state.safetensors"):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} lacks {name}")
    if json.loads((folder / "state.json").read_text("utf-8"))["base"] != base:
        raise ModelError(f"{folder} was made from another base: open it with that one")
    return dict(load_file(folder / "state.safetensors"))
