"""Write down TRL's losses of preference pairs on fixed log-probabilities, with their gradients.

``python trl_losses.py FILE`` calls the code of the installed TRL (1.16.0) itself: the loss of
``DPOTrainer``, and those of the experimental ``CPOTrainer`` (simpo) and ``ORPOTrainer``. The table
is what customize's losses are tested against; without TRL, which is no dependency.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from trl import DPOTrainer
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

# (loss, what it is told); each is asked of every pair by itself.
DPO_LOSSES: list[tuple[str, dict[str, float]]] = [
    ("sigmoid", {"beta": 0.1}),
    ("sigmoid", {"beta": 0.7}),
    ("sigmoid_norm", {"beta": 2.0}),
    ("ipo", {"beta": 0.1}),
    ("ipo", {"beta": 0.5}),
    ("hinge", {"beta": 0.1}),
    ("hinge", {"beta": 1.0}),
    ("robust", {"beta": 0.3, "label_smoothing": 0.2}),
    ("apo_zero", {"beta": 0.1}),
    ("exo_pair", {"beta": 0.4, "label_smoothing": 0.05}),
    ("nca_pair", {"beta": 0.2}),
    ("sft", {"beta": 0.1}),
]


def main(file: Path) -> None:
    """Make the table of all losses on the same pairs."""
    pairs = [_pair(number) for number in range(6)]
    found = []
    for name, told in DPO_LOSSES:
        found.append({"loss": name, **told, "pairs": [_dpo(name, told, pair) for pair in pairs]})
    for beta, gamma in ((2.0, 0.5), (2.5, 1.4)):
        terms = [_of_means(partial(_simpo, beta, gamma), pair) for pair in pairs]
        found.append({"loss": "simpo", "beta": beta, "gamma": gamma, "pairs": terms})
    for beta in (0.1, 1.0):
        terms = [_of_means(partial(_odds_ratio, beta), pair) for pair in pairs]
        found.append({"loss": "odds_ratio", "beta": beta, "pairs": terms})
    table = {
        "source": f"trl {version('trl')}, torch {version('torch')}: benchmarks/trl_losses.py",
        "what": "log-probabilities of each answer's tokens; the loss of each pair alone, and its "
        "gradient by a token's log-probability on the chosen and the rejected side",
        "pairs": pairs,
        "losses": found,
    }
    file.write_text(json.dumps(table) + "\n", "utf-8")


_CPU = {"accelerator": SimpleNamespace(device=torch.device("cpu"))}


def _pair(number: int) -> dict[str, list[list[float]]]:
    """Of the policy and the reference, per token: chosen and rejected, of unlike lengths."""
    drawn = torch.Generator().manual_seed(number)

    def side(length: int) -> list[float]:
        return [round(float(x), 4) for x in -torch.rand(length, generator=drawn) * 4 - 0.01]

    lengths = (3 + number, 8 - number)
    return {"policy": [side(n) for n in lengths], "reference": [side(n) for n in lengths]}


def _dpo(name: str, told: dict[str, float], pair: dict[str, list[list[float]]]) -> dict[str, Any]:
    """DPOTrainer's own ``_compute_loss``, with a model that says what is written down."""
    sides = [torch.tensor(side, dtype=torch.float64) for side in pair["policy"]]
    leaves = [side.requires_grad_() for side in sides]
    length = max(map(len, leaves))
    said = torch.stack([torch.nn.functional.pad(leaf, (0, length - len(leaf))) for leaf in leaves])
    mask = torch.tensor([[0] + [1] * len(s) + [0] * (length - len(s)) for s in leaves])
    nothing = torch.zeros_like(said)
    outputs = SimpleNamespace(
        log_probs=said, entropy=nothing, mean_logits=nothing, is_top1=nothing.bool()
    )
    model: Callable[..., Any] = lambda **_: outputs  # noqa: E731
    references = [torch.tensor([sum(s)], dtype=torch.float64) for s in pair["reference"]]
    inputs = {
        "input_ids": torch.zeros_like(mask),
        "attention_mask": torch.ones_like(mask),
        "completion_mask": mask,
        "ref_chosen_logps": references[0],
        "ref_rejected_logps": references[1],
    }
    loss = DPOTrainer._compute_loss(_trainer(name, told), model, inputs, False)
    return _terms(loss, leaves)


def _trainer(name: str, told: dict[str, float]) -> SimpleNamespace:
    gather = {"gather": lambda x: x, "gather_for_metrics": lambda x: x}
    return SimpleNamespace(
        model=_Model(),
        accelerator=SimpleNamespace(device=torch.device("cpu"), **gather),
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        loss_types=[name],
        loss_weights=[1.0],
        use_weighting=False,
        label_smoothing=told.get("label_smoothing", 0.0),
        beta=told["beta"],
        _metrics={"train": defaultdict(list)},
        _total_train_tokens=0,
        _tp_size=1,
    )


class _Model:
    training = True


def _simpo(beta: float, gamma: float, chosen: Tensor, rejected: Tensor) -> Tensor:
    told = {"beta": beta, "simpo_gamma": gamma, "loss_type": "simpo"}
    trainer = SimpleNamespace(alpha=0.0, label_smoothing=0.0, **told, **_CPU)
    return CPOTrainer.cpo_loss(trainer, chosen, rejected)[0]


def _odds_ratio(beta: float, chosen: Tensor, rejected: Tensor) -> Tensor:
    """Its sign is that of a reward: TRL subtracts it from the chosen side's own loss."""
    trainer = SimpleNamespace(beta=beta, **_CPU)
    return -ORPOTrainer.odds_ratio_loss(trainer, chosen, rejected)[0]


def _of_means(loss: Callable[[Tensor, Tensor], Tensor], pair: dict[str, Any]) -> dict[str, Any]:
    leaves = [torch.tensor(s, dtype=torch.float64).requires_grad_() for s in pair["policy"]]
    return _terms(loss(*(leaf.mean()[None] for leaf in leaves))[0], leaves)


def _terms(loss: Tensor, leaves: list[Tensor]) -> dict[str, Any]:
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    by_side = [0.0 if g is None else float(g[0]) for g in gradients]
    return {"loss": float(loss.detach()), "gradient": by_side}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
