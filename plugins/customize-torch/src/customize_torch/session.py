"""Sessions and snapshots on torch: the primitives of the waist. Knows no method.

Shape legend: N tokens of the batch, T scored tokens of a piece.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from customize import (
    AdamW,
    Adapter,
    Batch,
    CheckpointError,
    Completion,
    Done,
    Failed,
    Handle,
    LoRA,
    Loss,
    LossOutput,
    ModelError,
    ModelFolder,
    NonFiniteError,
    OnToken,
    OutOfMemoryError,
    Prompt,
    Renderer,
    Sampling,
    Session,
    Smaller,
    Snapshot,
)
from customize_torch import optimizer, storage
from customize_torch.budget import Budget
from customize_torch.cutting import Longs
from customize_torch.determinism import repeatable
from customize_torch.device_memory import take_peak
from customize_torch.holding import PLAIN
from customize_torch.lora import stacked
from customize_torch.policy import Policy
from customize_torch.remedies import held, of_adapter, of_base
from customize_torch.sampling import budget_of_half, sample

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
# Without any of these what is saved could not go on as if it had not been stopped.
_PARTS = ("base", "means", "scale", "seed", "squares", "steps", "token_budget", "weights")


class TorchSnapshot(Snapshot):
    """Weights that do not move: a reference, since nothing is changed in place."""

    def __init__(self, policy: Policy, renderer: Renderer, budget: Budget) -> None:
        self.renderer = renderer
        self.policy = policy
        self.budget = budget

    @torch.no_grad()
    def forward(self, batch: Batch) -> Handle[Floats]:
        return Done(self.budget.spend(batch, False, partial(self._forward, batch)))

    def _forward(self, batch: Batch, cut: Sequence[Longs]) -> Floats:
        out = np.zeros(batch.num_tokens, np.float32)
        for chosen in cut:
            piece = batch.take(chosen)
            logprobs_T = self.policy.logprobs(piece).cpu()
            out[batch.positions_of(chosen)[piece.scored]] = logprobs_T.numpy()
        return out

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Handle[list[list[Completion]]]:
        budget = self.budget
        return Done(
            held(
                lambda: sample(self.policy, prompts, sampling, self.renderer, budget, on_token),
                self._drawn_together(prompts, sampling),
                lambda: self._drawing_less(prompts, sampling),
            )
        )

    def _drawn_together(self, prompts: Sequence[Prompt], sampling: Sampling) -> str:
        """The fewest completions that memory would have to hold."""
        told = f"at most {sampling.max_tokens} tokens"
        if not self.policy.base.place.sharded:
            return f"a completion of {told} even by itself"
        return f"{sum(prompt.n for prompt in prompts)} completions of {told}"

    def _drawing_less(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterator[str]:
        longest = max(len(prompt.tokens) for prompt in prompts)
        fewer = budget_of_half(prompts, sampling.max_tokens, self.budget.tokens)
        if self.policy.base.place.sharded and fewer:
            change = Smaller("token_budget", fewer, "half as many completions at once")
            yield self.budget.own.told(change)
        yield from of_base(self.budget.own)
        yield f"a lower max_tokens, or prompts of fewer than {longest} tokens"

    def distributions(self, tokens: Ints, start: int) -> Floats:
        return held(
            lambda: self._distributions(tokens, start),
            f"the distributions of {len(tokens)} tokens",
            lambda: of_base(self.budget.own),
        )

    def _distributions(self, tokens: Ints, start: int) -> Floats:
        with self.policy.base.unrecorded():
            out: Floats = self.policy.distributions(tokens, start).cpu().numpy()
        return out

    def device_peak(self) -> int | None:
        return take_peak(self.policy.base.place.device)


class TorchSession(Session):
    """One customization: tensors in float32, their pending gradient, and AdamW's moments.

    gradients: what is pending, by the names of ``tensors``.
    """

    def __init__(
        self,
        policy: Policy,
        base: Policy,
        adapter: Adapter,
        model: ModelFolder,
        renderer: Renderer,
        capabilities: frozenset[str],
        seed: int,
        budget: Budget,
    ) -> None:
        self.renderer = renderer
        self.seed = seed
        self.capabilities = capabilities
        self._base = base
        self._adapter = adapter
        self._model = model
        self.budget = budget
        self._named: dict[str, Policy] = {}
        self._moments = optimizer.start(policy.tensors)
        self.policy = policy
        self.gradients: dict[str, Tensor] = {}

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """What is trained, as it is now."""
        return self.policy.tensors

    def forward(self, batch: Batch) -> Handle[Floats]:
        return self._at(self.policy).forward(batch)

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Handle[list[list[Completion]]]:
        return self._at(self.policy).sample(prompts, sampling, on_token)

    def distributions(self, tokens: Ints, start: int) -> Floats:
        return self._at(self.policy).distributions(tokens, start)

    def device_peak(self) -> int | None:
        return self._at(self.policy).device_peak()

    def forward_backward(self, batch: Batch, loss: Loss) -> Handle[LossOutput]:
        try:
            if loss.couples == "batch":
                return self.surrogate(batch, loss)
            compute = partial(self._over_pieces, batch, loss)
            output, gradients = self.budget.spend(
                batch, loss.couples == "group", compute, self._adapter
            )
        except OutOfMemoryError:
            self.gradients = {}  # the step is lost, and nothing of it goes into the next
            raise
        self.add(gradients)
        return Done(output)

    def _over_pieces(
        self, batch: Batch, loss: Loss, cut: Sequence[Longs]
    ) -> tuple[LossOutput, dict[str, Tensor]]:
        out = np.zeros(batch.num_tokens, np.float32)
        total = 0.0
        leaves = {k: t.detach().requires_grad_() for k, t in self.policy.tensors.items()}
        policy = attrs.evolve(self.policy, tensors=leaves)
        for chosen in cut:
            piece = batch.take(chosen)
            value, logprobs = self._backward(policy, piece, loss)
            total += value
            out[batch.positions_of(chosen)] = logprobs
        gradients = {k: t.grad for k, t in leaves.items() if t.grad is not None}
        return LossOutput(total, out), gradients

    def _backward(self, policy: Policy, piece: Batch, loss: Loss) -> tuple[float, Floats]:
        logprobs_T = policy.logprobs(piece)
        out = np.zeros(piece.num_tokens, np.float32)
        out[piece.scored] = logprobs_T.detach().cpu().numpy()
        value, gradient_N = loss.evaluate(out, piece)
        gradient_T = torch.from_numpy(gradient_N[piece.scored].astype(np.float32))
        with repeatable(logprobs_T.device):
            # Its gradient is the loss's; given that one, backward loads sympy, for half a second.
            torch.dot(logprobs_T, gradient_T.to(logprobs_T.device)).backward()
        return value, out

    def add(self, more: Mapping[str, Tensor]) -> None:
        """Join gradients by name to what is pending."""
        for name, gradient in more.items():
            pending = self.gradients.get(name)
            self.gradients[name] = gradient if pending is None else pending + gradient

    def optim_step(self, optimizer_: AdamW) -> Handle[float]:
        return held(
            lambda: self._step(optimizer_),
            "a step of the optimizer, which makes new weights beside the old",
            lambda: of_adapter(self._adapter),
        )

    def _step(self, optimizer_: AdamW) -> Handle[float]:
        gradients, self.gradients = self.gradients, {}
        norm = optimizer.norm_of(gradients)
        if not np.isfinite(norm):
            return Failed(
                NonFiniteError(
                    f"the gradient's norm is {norm}: weights and optimizer are as they were. "
                    "Lower lr, or look at the rows of this step"
                )
            )
        tensors, self._moments = optimizer.step(
            self.policy.tensors, gradients, self._moments, optimizer_, norm
        )
        self.policy = attrs.evolve(self.policy, tensors=tensors)
        return Done(norm)

    def snapshot(self, name: str | None = None) -> Snapshot:
        if name is not None:
            self._named[name] = self.policy
        return self._at(self.policy)

    def named_snapshot(self, name: str) -> Snapshot:
        if name not in self._named:
            raise CheckpointError(f"no snapshot is named {name!r} (there are {list(self._named)})")
        return self._at(self._named[name])

    def base(self) -> Snapshot:
        return self._at(self._base)

    def save(self, folder: Path) -> None:
        groups = {
            "weights": self.policy.tensors,
            "means": self._moments.means,
            "squares": self._moments.squares,
            "gradients": self.gradients,
            "below": self.policy.below,
            **{f"snapshot:{name}": policy.tensors for name, policy in self._named.items()},
        }
        storage.write_tensors(folder / "state.safetensors", groups)
        state = {
            "base": self._model.fingerprint,
            "steps": self._moments.steps,
            "seed": self.seed,
            "scale": self.policy.scale,
            "token_budget": self.budget.tokens,
            "asked_token_budget": self.budget.asked,
            "held": self.policy.base.place.base,
        }
        (folder / "state.json").write_text(json.dumps(state), "utf-8")

    def load(self, folder: Path) -> None:
        state = storage.read_json(folder / "state.json")
        device = self.policy.base.place.device
        groups = storage.read_tensors(folder / "state.safetensors", device)
        lacking = {*_PARTS} - groups.keys() - state.keys()
        if lacking:
            raise CheckpointError(f"{folder} lacks {', '.join(sorted(lacking))}: it cannot go on")
        if state["base"] != self._model.fingerprint:
            raise ModelError(f"{folder} was saved from another base than {self._model.name}")
        if (held := state.get("held", PLAIN)) != (here := self.policy.base.place.base):
            raise ModelError(f"{folder} was saved from a base held as {held}, not as {here}")
        if groups["weights"].keys() != self.policy.tensors.keys():
            raise ModelError(f"{folder} was saved with another adapter: its layers differ")
        self.seed = state["seed"]
        # Earlier states do not say what was asked.
        asked = state.get("asked_token_budget", self.budget.asked)
        self.budget.go_on(asked, state["token_budget"])
        scale = state["scale"]
        kept = attrs.evolve(self.policy, scale=scale, below=groups.get("below", {}))
        self.policy = attrs.evolve(kept, tensors=groups["weights"])
        self._moments = optimizer.Moments(state["steps"], groups["means"], groups["squares"])
        self.gradients = groups.get("gradients", {})
        self._named = {
            key.removeprefix("snapshot:"): attrs.evolve(kept, tensors=tensors)
            for key, tensors in groups.items()
            if key.startswith("snapshot:")
        }

    def save_weights(self, folder: Path) -> None:
        policy, base = self.policy, self._model.fingerprint
        if isinstance(self._adapter, LoRA):
            tensors = stacked(policy.below, policy.tensors, whole=True)
            layers = [k.removesuffix(".lora_A.weight") for k in tensors if "lora_A" in k]
            adapter = self._adapter if not policy.below else self._as_one(tensors, layers)
            held = policy.base.place.base
            storage.write_adapter(folder, adapter, tensors, layers, base, held)
        else:
            storage.write_model(folder, self._model.path, policy.tensors, base)

    def _as_one(self, tensors: Mapping[str, Tensor], layers: list[str]) -> LoRA:
        """What a stack of two is when it is saved: one adapter of the same scale."""
        rank = tensors[f"{layers[0]}.lora_A.weight"].shape[0]
        assert self.policy.scale is not None
        return LoRA(rank=rank, alpha=self.policy.scale * rank, targets=tuple(layers))

    def _at(self, policy: Policy) -> TorchSnapshot:
        return TorchSnapshot(policy, self.renderer, self.budget)
