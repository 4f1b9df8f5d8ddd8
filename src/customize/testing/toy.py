"""A backend for tests: a bigram table in numpy, exact in float64. Knows nothing of methods.

The "model" is a table of logits [previous token, next token]; a customization is a table added to
it. Every primitive is a few lines, so a method can be run and checked in milliseconds.

Shape legend: N tokens, V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from customize._batch import Batch, Floats, Ints
from customize._errors import CheckpointError, DataError, ModelError, NonFiniteError, Unsupported
from customize._losses import Loss
from customize.interfaces.backend import Backend, Engine
from customize.interfaces.handle import Done, Failed, Handle
from customize.interfaces.model import ModelFolder
from customize.interfaces.sampling import Completion, OnToken, Prompt, Sampling
from customize.interfaces.session import AdamW, Adapter, Full, LoRA, LossOutput, Session, Snapshot
from customize.testing.renderer import NUM_TOKENS, ToyRenderer

Table = npt.NDArray[np.float64]
CAPABILITIES = frozenset(
    {
        "forward_backward",
        "sample",
        "distributions",
        "snapshot",
        "base",
        "save",
        "lora",
        "full",
        "stack",
    }
)
FINGERPRINT = "toy"
_KEPT = ("delta", "mean", "square", "below")


class ToyBackend(Backend):
    """``ToyBackend(without={"sample"})`` raises ``Unsupported`` for what it is without."""

    name = "toy"

    def __init__(self, without: Iterable[str] = ()) -> None:
        unknown = set(without) - CAPABILITIES
        if unknown:
            raise Unsupported(f"the toy backend never had {', '.join(sorted(unknown))}")
        self._capabilities = CAPABILITIES - set(without)

    def probe(self) -> str | None:
        return None

    def capabilities(self) -> frozenset[str]:
        return self._capabilities

    def load(self, model: ModelFolder | None = None) -> Engine:
        return ToyEngine(self._capabilities)


class ToyEngine(Engine):
    """The base: a fixed random table."""

    def __init__(self, capabilities: frozenset[str]) -> None:
        self.renderer = ToyRenderer()
        self.capabilities = capabilities
        self.table_VV: Table = np.random.default_rng(0).normal(0, 0.5, (NUM_TOKENS, NUM_TOKENS))

    def open(self, adapter: Adapter | Path, seed: int = 0) -> Session:
        if not isinstance(adapter, Path):
            _require(self.capabilities, "full" if isinstance(adapter, Full) else "lora")
            session = self.new_session(seed)
            if isinstance(adapter, LoRA) and adapter.on is not None:
                _require(self.capabilities, "stack")
                session.lay_on(Path(adapter.on))
            return session
        session = self.new_session(seed)
        session.load_weights(adapter)
        return session

    def base(self) -> Snapshot:
        return self.snapshot_of(self.table_VV)

    def new_session(self, seed: int) -> ToySession:
        """A session at the start; to be replaced where a test wants another kind."""
        return ToySession(self, seed)

    def snapshot_of(self, table_VV: Table) -> ToySnapshot:
        """A table that does not move; to be replaced where a test wants another kind."""
        return ToySnapshot(self, table_VV)


class ToySnapshot(Snapshot):
    """A table that does not move."""

    def __init__(self, engine: ToyEngine, table_VV: Table) -> None:
        self.renderer = engine.renderer
        self._engine = engine
        self._table = table_VV

    def forward(self, batch: Batch) -> Handle[Floats]:
        return Done(self.logprobs(batch))

    def logprobs(self, batch: Batch) -> Floats:
        """As ``forward``, at once; a session's loss sees these as well."""
        return _logprobs(self._table, batch)

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Handle[list[list[Completion]]]:
        _require(self._engine.capabilities, "sample")
        for prompt in prompts:
            _check_tokens(prompt.tokens)
        return Done(
            [
                [_complete(self._table, prompt, sampling, i, j, on_token) for j in range(prompt.n)]
                for i, prompt in enumerate(prompts)
            ]
        )

    def distributions(self, tokens: Ints, start: int) -> Floats:
        _require(self._engine.capabilities, "distributions")
        _check_tokens(tokens)
        return _log_softmax(self._table[tokens[start - 1 : -1]]).astype(np.float32)


class ToySession(Session):
    """A table of its own added to the base's, with AdamW."""

    def __init__(self, engine: ToyEngine, seed: int) -> None:
        self.renderer = engine.renderer
        self.seed = seed
        self.capabilities = engine.capabilities
        self._engine = engine
        self._pending: Table | None = None
        self._steps = 0
        self._named: dict[str, Table] = {}
        self._delta, self._mean, self._square = (np.zeros_like(engine.table_VV) for _ in range(3))
        self._below: Table = np.zeros_like(engine.table_VV)

    def forward(self, batch: Batch) -> Handle[Floats]:
        return self._now().forward(batch)

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Handle[list[list[Completion]]]:
        return self._now().sample(prompts, sampling, on_token)

    def distributions(self, tokens: Ints, start: int) -> Floats:
        return self._now().distributions(tokens, start)

    def forward_backward(self, batch: Batch, loss: Loss) -> Handle[LossOutput]:
        _require(self.capabilities, "forward_backward")
        table = self._engine.table_VV + self._below + self._delta
        logprobs = self._now().logprobs(batch)
        value, gradient = loss.evaluate(logprobs, batch)
        grown = _gradient(table, batch, gradient)
        self._pending = grown if self._pending is None else self._pending + grown
        return Done(LossOutput(value, logprobs))

    def optim_step(self, optimizer: AdamW) -> Handle[float]:
        _require(self.capabilities, "forward_backward")
        gradient = self._pending if self._pending is not None else np.zeros_like(self._delta)
        self._pending = None
        norm = float(np.linalg.norm(gradient))
        if not np.isfinite(norm):
            return Failed(NonFiniteError(f"the gradient's norm is {norm}: nothing was changed"))
        if optimizer.max_grad_norm and norm > optimizer.max_grad_norm:
            gradient = gradient * (optimizer.max_grad_norm / norm)
        self._adamw(gradient, optimizer)
        return Done(norm)

    def _adamw(self, gradient: Table, o: AdamW) -> None:
        self._steps += 1
        self._mean = o.beta1 * self._mean + (1 - o.beta1) * gradient
        self._square = o.beta2 * self._square + (1 - o.beta2) * gradient**2
        mean = self._mean / (1 - o.beta1**self._steps)
        square = self._square / (1 - o.beta2**self._steps)
        decayed = self._delta * (1 - o.lr * o.weight_decay)
        self._delta = decayed - o.lr * mean / (np.sqrt(square) + o.eps)

    def snapshot(self, name: str | None = None) -> Snapshot:
        _require(self.capabilities, "snapshot")
        if name is not None:
            self._named[name] = self._delta
        return self._now()

    def named_snapshot(self, name: str) -> Snapshot:
        _require(self.capabilities, "snapshot")
        if name not in self._named:
            raise CheckpointError(f"no snapshot {name!r} (there are: {sorted(self._named)})")
        return self._engine.snapshot_of(self._engine.table_VV + self._below + self._named[name])

    def base(self) -> Snapshot:
        _require(self.capabilities, "base")
        return self._engine.base()

    def save(self, folder: Path) -> None:
        _require(self.capabilities, "save")
        arrays = {name: getattr(self, f"_{name}") for name in _KEPT}
        pending = {} if self._pending is None else {"pending": self._pending}
        named = {f"snapshot.{name}": table for name, table in self._named.items()}
        _write(folder / "state.safetensors", {**arrays, **pending, **named})
        state = {"steps": self._steps, "base": FINGERPRINT, "seed": self.seed}
        (folder / "state.json").write_text(json.dumps(state))

    def load(self, folder: Path) -> None:
        _require(self.capabilities, "save")
        for file in ("state.json", "state.safetensors"):
            if not (folder / file).is_file():
                raise CheckpointError(f"{folder} lacks {file}")
        state = json.loads((folder / "state.json").read_text())
        if state["base"] != FINGERPRINT:
            raise ModelError(f"{folder} was saved from another base")
        arrays = _read(folder / "state.safetensors")
        self._steps, self.seed = state["steps"], state["seed"]
        self._delta, self._mean, self._square, self._below = (arrays[k] for k in _KEPT)
        self._pending = arrays.get("pending")
        marker = "snapshot."
        self._named = {k[len(marker) :]: v for k, v in arrays.items() if k.startswith(marker)}

    def save_weights(self, folder: Path) -> None:
        _require(self.capabilities, "save")
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "adapter_model.safetensors", {"delta": self._below + self._delta})

    def load_weights(self, folder: Path) -> None:
        """Go on from what ``save_weights`` wrote."""
        file = folder / "adapter_model.safetensors"
        if not file.is_file():
            raise CheckpointError(f"{folder} lacks {file.name}")
        self._delta = _read(file)["delta"]

    def lay_on(self, folder: Path) -> None:
        """What ``save_weights`` wrote there stays below, and is not trained."""
        self.load_weights(folder)
        self._below, self._delta = self._delta, np.zeros_like(self._delta)

    def _now(self) -> ToySnapshot:
        return self._engine.snapshot_of(self._engine.table_VV + self._below + self._delta)


def _require(capabilities: frozenset[str], what: str) -> None:
    if what not in capabilities:
        raise Unsupported(f"this toy backend was made without {what!r}")


def _log_softmax(logits: Table) -> Table:
    highest = logits.max(axis=-1, keepdims=True)
    shifted = logits - highest
    normalised: Table = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normalised


def _check_tokens(tokens: npt.NDArray[np.int32]) -> None:
    if len(tokens) == 0:
        raise DataError("a completion needs a token to go on from")
    if not 0 <= tokens.min() <= tokens.max() < NUM_TOKENS:
        raise DataError(f"the toy's tokens are 0 to {NUM_TOKENS - 1} (got {tokens.max()})")


def _logprobs(table_VV: Table, batch: Batch) -> Floats:
    _check_tokens(batch.tokens)
    where = np.flatnonzero(batch.scored)
    out = np.zeros(batch.num_tokens, np.float32)
    rows = _log_softmax(table_VV[batch.tokens[where - 1]])
    out[where] = rows[np.arange(len(where)), batch.tokens[where]]
    return out


def _gradient(table_VV: Table, batch: Batch, gradient_N: npt.NDArray[np.float64]) -> Table:
    where = np.flatnonzero(batch.scored)
    before, after = batch.tokens[where - 1], batch.tokens[where]
    rows = -np.exp(_log_softmax(table_VV[before])) * gradient_N[where, None]
    with np.errstate(invalid="ignore"):  # the step refuses what is not finite
        rows[np.arange(len(where)), after] += gradient_N[where]
    out = np.zeros_like(table_VV)
    np.add.at(out, before, rows)
    return out


def _complete(
    table_VV: Table,
    prompt: Prompt,
    sampling: Sampling,
    i: int,
    j: int,
    on_token: OnToken | None,
) -> Completion:
    renderer = ToyRenderer()
    stops = renderer.stop_tokens if sampling.stop_tokens is None else sampling.stop_tokens
    tokens: list[int] = []
    logprobs: list[float] = []
    drawn: list[float] = []
    last, reason = int(prompt.tokens[-1]), "length"
    for t in range(sampling.max_tokens):
        plain = _log_softmax(table_VV[last])
        shaped = _shape(plain, sampling)
        last = _draw(shaped, sampling, (prompt.seed, j, t))
        tokens.append(last)
        logprobs.append(float(plain[last]))
        drawn.append(float(shaped[last]))
        if on_token is not None:
            on_token(i, j, last)
        if last in stops or _ends(renderer, tokens, sampling.stop):
            reason = "stop"
            break
    return Completion(
        np.asarray(tokens, np.int32),
        np.asarray(logprobs, np.float32),
        np.asarray(drawn, np.float32),
        "stop" if reason == "stop" else "length",
        _prompt_logprobs(table_VV, prompt) if sampling.prompt_logprobs else None,
    )


def _ends(renderer: ToyRenderer, tokens: list[int], stop: tuple[str, ...] | None) -> bool:
    text = renderer.decode(np.asarray(tokens, np.int32)) if stop else ""
    return any(text.endswith(s) for s in stop or ())


def _shape(plain_V: Table, sampling: Sampling) -> Table:
    """The distribution tokens are drawn from, as log-probabilities."""
    if sampling.temperature == 0:
        certain = np.full_like(plain_V, -np.inf)
        certain[plain_V.argmax()] = 0.0
        return certain
    shaped = _log_softmax(plain_V / sampling.temperature)
    order = np.argsort(-shaped, kind="stable")
    keep = len(order)
    if sampling.top_k:
        keep = min(keep, sampling.top_k)
    if sampling.top_p < 1:
        mass = np.cumsum(np.exp(shaped[order]))
        keep = min(keep, int(np.searchsorted(mass, sampling.top_p)) + 1)
    cut = shaped.copy()
    cut[order[keep:]] = -np.inf
    return _log_softmax(cut)


def _draw(shaped_V: Table, sampling: Sampling, key: tuple[int, int, int]) -> int:
    if sampling.temperature == 0:
        return int(shaped_V.argmax())
    seed, j, t = key
    generator = np.random.Generator(np.random.Philox(key=[seed % 2**64, j], counter=[t, 0, 0, 0]))
    mass = np.cumsum(np.exp(shaped_V))
    return int(min(np.searchsorted(mass, generator.random() * mass[-1], "right"), len(mass) - 1))


def _prompt_logprobs(table_VV: Table, prompt: Prompt) -> Floats:
    batch = Batch.from_sequences([(prompt.tokens, {"weights": np.ones(len(prompt.tokens))})])
    return _logprobs(table_VV, batch)


def _write(file: Path, arrays: Mapping[str, Table]) -> None:
    from safetensors.numpy import save_file

    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, file)


def _read(file: Path) -> dict[str, Table]:
    from safetensors.numpy import load_file

    return dict(load_file(file))
