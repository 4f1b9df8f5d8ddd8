"""Work on a session whose numbers are compared between one process and several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from customize import (
    CISPO,
    PPO,
    AdamW,
    Batch,
    CrossEntropy,
    Engine,
    Full,
    LoRA,
    Loss,
    Prompt,
    Sampling,
    Session,
    differentiate,
)
from customize_torch.group.session import SpreadSession

Arrays = dict[str, npt.NDArray[Any]]
LENGTHS = (5, 17, 2, 30, 11, 40, 9)
ADAM = AdamW(lr=0.01)


def batch(lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> Batch:
    """Sequences of odd lengths, some tokens without a weight, in pairs that begin alike."""
    rng = np.random.default_rng(seed)
    rows = []
    for length in lengths:
        weights = rng.uniform(0.2, 1, length) * (rng.random(length) < 0.7)
        weights[-1] = 1.0
        columns = {
            "weights": weights,
            "advantages": rng.uniform(0.5, 2, length),  # of one sign: nothing cancels
            "sampling_logprobs": -rng.uniform(3, 8, length),
        }
        rows.append((rng.integers(0, 240, length), columns))
    return Batch.from_sequences(rows, groups=[i // 2 for i in range(len(rows))])


def squared_sum(logprobs: Any, of: Batch) -> Any:
    """Mixes all tokens of the batch."""
    return (logprobs.sum() / 100) ** 2


def margins(logprobs: Any, of: Batch) -> Any:
    """Mixes the sequences of a group, as a preference does."""
    per_sequence: Any = of.sum_by_sequence(logprobs) / 50
    return (per_sequence[0:-1:2] - per_sequence[1::2]).sigmoid().sum()


LOSSES: dict[str, tuple[Loss, Batch]] = {
    "cross_entropy": (CrossEntropy(), batch()),
    "ppo": (PPO(), batch(seed=1)),
    "cispo": (CISPO(), batch(seed=2)),
    "by group": (differentiate(margins, couples="group"), batch(LENGTHS[:6], seed=3)),
    "by batch": (differentiate(squared_sum, couples="batch"), batch(seed=4)),
    "fewer sequences than processes": (CrossEntropy(), batch((21,), seed=5)),
}
PROMPTS = [Prompt(np.arange(3 + i) * 7 % 240, n=1 + i % 3, seed=100 + i) for i in range(5)]
SAMPLINGS = {
    "plain": Sampling(max_tokens=12, stop_tokens=()),
    "narrow": Sampling(
        max_tokens=9, temperature=0.7, top_k=20, stop_tokens=(65, 66, 67), prompt_logprobs=True
    ),
}


def begin(engine: Engine, folder: Path) -> None:
    """Save a session after some steps: B is zero at first, and so is A's gradient."""
    session = engine.open(LoRA(rank=4), seed=3)
    train(session, 3)
    folder.mkdir()
    session.save(folder)


def everything(engine: Engine, start: Path, folder: Path | None) -> Arrays:
    """Numbers of every primitive, from what ``begin`` saved; the session is saved after its steps.

    So all have the same weights where gradients are compared: AdamW makes much of rounding.
    """
    out: Arrays = {}
    session = engine.open(LoRA(rank=4), seed=9)
    session.load(start)
    for name, (loss, given) in LOSSES.items():
        output = session.forward_backward(given, loss).result()
        out[f"loss {name}"] = np.array(output.loss)
        out[f"logprobs {name}"] = output.logprobs
        out |= _named(f"gradient {name}", gradients_of(session))
        session.optim_step(AdamW(lr=0.0)).result()  # only clears
    out["pending"] = _pending(session)
    session.snapshot("kept")
    out["norms"] = np.array(train(session, 3, start=5))
    out |= _named("weights", own(session).tensors)
    kept, base = session.named_snapshot("kept"), session.base()
    for name, snapshot in (("now", session), ("kept", kept), ("base", base)):
        out[f"forward {name}"] = snapshot.forward(batch(seed=8)).result()
    for name, sampling in SAMPLINGS.items():
        for i, drawn in enumerate(session.sample(PROMPTS, sampling).result()):
            for j, one in enumerate(drawn):
                out[f"tokens {name} {i} {j}"] = one.tokens
                out[f"sampled {name} {i} {j}"] = one.sampling_logprobs
                if one.prompt_logprobs is not None:
                    out[f"sampled prompt {name} {i} {j}"] = one.prompt_logprobs
    if folder is not None:
        folder.mkdir()
        session.save(folder)
    if "full" in engine.capabilities:
        whole = engine.open(Full(), seed=3)
        whole.forward_backward(batch(), CrossEntropy()).result()
        out |= _named("gradient full", gradients_of(whole))
    return out


def gone_on(engine: Engine, folder: Path) -> Arrays:
    """The steps after those of what was saved."""
    session = engine.open(LoRA(rank=4), seed=9)
    session.load(folder)
    kept = session.named_snapshot("kept").forward(batch(seed=8)).result()
    return {
        "seed": np.array(session.seed),
        "norms": np.array(train(session, 3, start=20)),
        "forward now": session.forward(batch(seed=8)).result(),
        "forward kept": kept,
    }


def own(session: Session) -> Any:
    """The torch session: of this process, where there are several."""
    if not isinstance(session, SpreadSession):
        return session
    crew: Any = session._conductor.crew
    return crew.part.session(session._number)


def gradients_of(session: Session) -> dict[str, Any]:
    return dict(own(session).gradients)


def _pending(session: Session) -> npt.NDArray[Any]:
    """The norm of a gradient that was gathered in two calls."""
    session.forward_backward(batch(seed=6), CrossEntropy())
    session.forward_backward(batch(seed=7), CrossEntropy())
    return np.array(session.optim_step(AdamW(lr=0.0)).result())


def train(session: Session, steps: int, start: int = 0) -> list[float]:
    """The norms of the gradients of these steps."""
    norms = []
    for seed in range(start, start + steps):
        session.forward_backward(batch(seed=seed), CrossEntropy())
        norms.append(session.optim_step(ADAM).result())
    return norms


def _named(what: str, tensors: dict[str, Any]) -> Arrays:
    return {f"{what} {name}": tensor.numpy() for name, tensor in tensors.items()}
