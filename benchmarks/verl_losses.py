"""Write down verl's objectives of policy gradients on fixed episodes, with their gradients.

``python verl_losses.py WHEEL FILE`` calls the code of verl (0.9.1) itself, unpacked from its wheel:
advantages, policy losses, their aggregation and KL of ``verl/trainer/ppo/core_algos.py``. The table
is what customize's presets are tested against; without verl, which is no dependency. Of the wheel
that one module runs, and the functions of tensors that it calls: the rest of verl, which wants
Ray and many others, is not imported.
"""

from __future__ import annotations

import json
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

HORIZON = 16
# Rewards of groups, of unequal size; nothing is learnt of a group without differences.
REWARDS = ((1.0, 0.0, 0.5, 0.0), (0.0, 1.0, 1.0), (2.0, -1.0, 0.0, 1.0, 0.5), (0.0, 1.0))
# What core_algos imports and does not call here: modules and a class of each.
_BESIDE = {
    "verl.trainer.config": "AlgoConfig",
    "verl.workers.config": "ActorConfig",
    "omegaconf": "DictConfig",
    "tensordict": "TensorDict",
}
_PPO = {"clip_ratio": 0.2, "clip_ratio_low": 0.2, "clip_ratio_high": 0.2}
_NO_DUAL = {"clip_ratio_c": 1e9}  # verl's vanilla loss always has it

# name: the preset, options beside it, verl's advantage and loss, and what they are told.
OBJECTIVES: list[dict[str, Any]] = [
    {
        "name": "grpo, by sequence, k3 in the loss",
        "preset": "grpo",
        "advantage": "grpo",
        "loss": "vanilla",
        "aggregate": "seq-mean-token-mean",
        "config": {**_PPO, **_NO_DUAL},
        "k3": 0.04,
    },
    {
        "name": "grpo as verl has it by default: by token, dual",
        "preset": "grpo",
        "options": {"per": "token", "dual": 3.0, "kl": 0.0},
        "advantage": "grpo",
        "loss": "vanilla",
        "aggregate": "token-mean",
        "config": {**_PPO, "clip_ratio_c": 3.0},
    },
    {
        "name": "dr-grpo",
        "preset": "dr-grpo",
        "advantage": "grpo",
        "told": {"norm_adv_by_std_in_grpo": False},
        "loss": "vanilla",
        "aggregate": "seq-mean-token-sum-norm",
        "config": {**_PPO, **_NO_DUAL},
    },
    {
        "name": "dapo, by token as verl counts",
        "preset": "dapo",
        "options": {"per": "token"},
        "advantage": "grpo",
        "loss": "vanilla",
        "aggregate": "token-mean",
        "config": {**_PPO, "clip_ratio_high": 0.28, **_NO_DUAL},
    },
    {
        "name": "gspo",
        "preset": "gspo",
        "advantage": "grpo",
        "loss": "gspo",
        "aggregate": "seq-mean-token-mean",
        "config": {"clip_ratio": 3e-4, "clip_ratio_low": 3e-4, "clip_ratio_high": 4e-4},
    },
    {
        "name": "cispo, with a cap of 5 on the weight",
        "preset": "cispo",
        "advantage": "grpo",
        "loss": "cispo",
        "aggregate": "token-mean",
        "config": {"clip_ratio": 0.2, "clip_ratio_low": 1.0, "clip_ratio_high": 4.0},
    },
    {
        "name": "rloo, k1 in the reward, clipped as verl does",
        "preset": "rloo",
        "options": {"clip": "ppo", "clip_low": 0.2, "clip_high": 0.2},
        "advantage": "rloo",
        "loss": "vanilla",
        "aggregate": "seq-mean-token-sum",
        "config": {**_PPO, **_NO_DUAL},
        "k1": 0.05,
    },
    {
        "name": "reinforce++, k1 in the reward of each token",
        "preset": "reinforce++",
        "advantage": "reinforce_plus_plus",
        "loss": "vanilla",
        "aggregate": "token-mean",
        "config": {**_PPO, **_NO_DUAL},
        "k1": 0.01,
    },
    {
        "name": "reinforce++ with the group's mean as baseline",
        "preset": "reinforce++",
        "options": {"baseline": "mean", "kl": 0.0},
        "advantage": "reinforce_plus_plus_baseline",
        "loss": "vanilla",
        "aggregate": "token-mean",
        "config": {**_PPO, **_NO_DUAL},
    },
    {
        "name": "opo, clipped as verl does",
        "preset": "opo",
        "options": {"clip": "ppo", "clip_low": 0.2, "clip_high": 0.2},
        "advantage": "opo",
        "loss": "vanilla",
        "aggregate": "token-mean",
        "config": {**_PPO, **_NO_DUAL},
    },
]


def main(wheel: Path, file: Path) -> None:
    """Make the table of all objectives on the same episodes."""
    episodes = _episodes()
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(wheel).extractall(folder)
        algorithms = _algorithms(Path(folder))
        found = [_terms(algorithms, asked, episodes) for asked in OBJECTIVES]
    table = {
        "source": f"{wheel.name}, torch {torch.__version__}: benchmarks/verl_losses.py",
        "what": "of each episode the reward, which tokens the model sampled, and log-probabilities "
        "of the sampler, the policy and the reference; an objective's loss over all of them, and "
        "its gradient by the policy's log-probabilities",
        "horizon": HORIZON,
        "episodes": episodes,
        "objectives": found,
    }
    file.write_text(json.dumps(table) + "\n", "utf-8")


def _episodes() -> list[dict[str, Any]]:
    """Log-probabilities are multiples of 2⁻¹⁰, so that float32 holds them exactly."""
    rng = np.random.default_rng(5)
    out = []
    for group, rewards in enumerate(REWARDS):
        for reward in rewards:
            length = int(rng.integers(5, HORIZON - 1))
            sampled = rng.random(length) < 0.75  # holes: what a tool said
            sampled[[0, -1]] = True
            old, near, far = (rng.integers(-200, 201, length) for _ in range(3))
            old = -rng.integers(20, 3000, length)
            told = {"old": old, "now": old + near, "reference": old + far}
            out.append(
                {
                    "group": group,
                    "reward": reward,
                    "sampled": sampled.tolist(),
                    **{k: (v / 1024 * sampled).tolist() for k, v in told.items()},
                }
            )
    return out


def _algorithms(folder: Path) -> ModuleType:
    """verl's core_algos, in packages whose own ``__init__`` does not run."""
    for name in ("verl", "verl.utils", "verl.trainer", "verl.trainer.ppo", "verl.workers"):
        package = ModuleType(name)
        package.__path__ = [str(folder / name.replace(".", "/"))]
        sys.modules[name] = package
    for name, kind in _BESIDE.items():
        module = ModuleType(name)
        setattr(module, kind, _Config if kind == "ActorConfig" else type(kind, (), {}))
        sys.modules[name] = module
    for name in ("as_torch_index", "group_mean_std"):  # verl.utils has them from its groupwise
        setattr(sys.modules["verl.utils"], name, getattr(_groupwise(), name))
    return import_module("verl.trainer.ppo.core_algos")


def _groupwise() -> ModuleType:
    return import_module("verl.utils.groupwise")


class _Config(SimpleNamespace):
    """What verl's losses read, by attribute or ``get``."""

    global_batch_info: Mapping[str, Any] = {}

    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self, name, default)


def _terms(verl: Any, asked: dict[str, Any], episodes: list[dict[str, Any]]) -> dict[str, Any]:
    mask = _padded(episodes, "sampled")
    old, reference = _padded(episodes, "old"), _padded(episodes, "reference")
    now = _padded(episodes, "now").requires_grad_()
    rewards = torch.zeros_like(old)
    for row, episode in enumerate(episodes):
        rewards[row, len(episode["sampled"]) - 1] = episode["reward"]
    rewards = rewards - asked.get("k1", 0.0) * verl.kl_penalty(old, reference, "kl") * mask
    advantages = _advantages(verl, asked, rewards, mask, [e["group"] for e in episodes])
    loss = verl.get_policy_loss_fn(asked["loss"])(
        old_log_prob=old,
        log_prob=now,
        advantages=advantages,
        response_mask=mask,
        loss_agg_mode=asked["aggregate"],
        config=_Config(**asked["config"]),
    )[0]
    if "k3" in asked:
        k3 = verl.kl_penalty(now, reference, "low_var_kl")
        loss = loss + asked["k3"] * verl.agg_loss(k3, mask, asked["aggregate"])
    (gradient,) = torch.autograd.grad(loss, now)
    lengths = [len(episode["sampled"]) for episode in episodes]
    return {
        "name": asked["name"],
        "preset": asked["preset"],
        "options": asked.get("options", {}),
        "loss": float(loss.detach()),
        "gradient": [row[:length].tolist() for row, length in zip(gradient, lengths, strict=True)],
    }


def _advantages(
    verl: Any, asked: dict[str, Any], rewards: Tensor, mask: Tensor, groups: list[int]
) -> Tensor:
    estimate = verl.get_adv_estimator_fn(asked["advantage"])
    advantages: Tensor = estimate(
        token_level_rewards=rewards,
        response_mask=mask,
        config=_Config(gamma=1.0),
        **({} if asked["advantage"] == "reinforce_plus_plus" else {"index": np.array(groups)}),
        **asked.get("told", {}),
    )[0]
    return advantages


def _padded(episodes: list[dict[str, Any]], name: str) -> Tensor:
    out = torch.zeros(len(episodes), HORIZON, dtype=torch.float64)
    for row, episode in enumerate(episodes):
        values = torch.tensor(episode[name], dtype=torch.float64)
        out[row, : len(values)] = values
    return out


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
