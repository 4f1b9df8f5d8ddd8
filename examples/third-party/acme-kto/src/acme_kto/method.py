"""KTO (arXiv 2402.01306, section 4.2). Shape legend: N tokens, S sequences, R rows of the data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import customize
import numpy as np
import numpy.typing as npt
from customize import Batch, DataError, Dataset, Rendered, Session, Snapshot, Step, option

Numbers = npt.NDArray[np.float64]
Answer = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]  # tokens before it, tokens of it
START = "kto-start"


@dataclass(frozen=True)
class KTOLoss:
    """``Σ importance · (1 - σ(sign · beta · (r - z0)))``; r is a sequence's log-ratio.

    z0 is a number, since the paper sends no gradient through it: so no sequence needs another.
    """

    beta: float
    z0: float
    couples: ClassVar[Literal["sequence"]] = "sequence"

    def evaluate(self, logprobs: npt.NDArray[np.floating], batch: Batch) -> tuple[float, Numbers]:
        sign_S, importance_S = (batch.sequence_columns[k] for k in ("sign", "importance"))
        gain_S = self.beta * sign_S * (log_ratios(logprobs, batch) - self.z0)
        value_S = (1 + np.tanh(gain_S / 2)) / 2  # σ, without overflow
        slope_S = -importance_S * self.beta * sign_S * value_S * (1 - value_S)
        loss = float((importance_S * (1 - value_S)).sum())
        return loss, np.repeat(slope_S, batch.lengths) * batch.weights


def log_ratios(logprobs: npt.NDArray[np.floating], batch: Batch) -> Numbers:
    """How much likelier each answer is than when training began, in nats: float64 [S]."""
    away_N = np.asarray(logprobs, np.float64) - batch.columns["reference_logprobs"]
    return batch.sum_by_sequence(away_N * batch.weights).astype(np.float64)


@customize.options
class KTO(customize.Method):
    """Kahneman-Tversky optimisation: liked answers become likelier, disliked ones less likely.

    Rows are chats with ``label``: true if the last answer is liked, false if it is not.
    """

    data: ClassVar[str] = "chat"
    needs: ClassVar[frozenset[str]] = frozenset({"forward_backward", "snapshot"})

    lr: float = option(default=5e-5, help="Learning rate.", at_least=0.0)
    beta: float = option(default=0.1, help="How strongly to stay near the start.", above=0.0)
    desirable_weight: float = option(default=1.0, help="Weight of liked answers.", at_least=0.0)
    undesirable_weight: float = option(default=1.0, help="Weight of disliked ones.", at_least=0.0)
    epochs: int = option(default=1, help="Passes over the rows.", at_least=1)
    batch_size: int = option(default=16, help="Rows a step, and an estimate of z0.", at_least=2)

    def num_steps(self, data: Dataset) -> int:
        return -(-len(data) * self.epochs // self.batch_size)

    def train(self, session: Session, data: Dataset, resume: Step | None = None) -> Iterator[Step]:
        self.check_rows(data)
        if len(data) < 2:
            raise DataError(f"KTO compares answers of two rows at least (got {len(data)} rows)")
        sign_R = np.array([_sign(i + 1, data[i]) for i in range(len(data))])
        weight_R = np.array([data[i].get("weight", 1.0) for i in range(len(data))], float)
        weight_R *= np.where(sign_R > 0, self.desirable_weight, self.undesirable_weight)
        answers = [_split(row) for row in customize.render_rows(data, session.renderer)]
        start = session.named_snapshot(START) if resume else session.snapshot(START)
        for number in range(resume.number + 1 if resume else 1, self.num_steps(data) + 1):
            places = range((number - 1) * self.batch_size, number * self.batch_size)
            rows = [customize.shuffled_row(session.seed, place, len(data)) for place in places]
            chosen = [answers[i] for i in rows]
            columns = {"sign": sign_R[rows], "importance": weight_R[rows] / len(rows)}
            batch, z0 = _batch(chosen, start, columns), _z0(chosen, start, session)
            output = session.forward_backward(batch, KTOLoss(self.beta, z0))
            norm = session.optim_step(customize.AdamW(lr=self.lr))
            reward_S = self.beta * log_ratios(output.result().logprobs, batch)
            metrics = {"loss": output.result().loss, "grad_norm": norm.result(), "z0": z0}
            yield Step(number, {**metrics, "margin": float((sign_R[rows] * reward_S).mean())})


def _z0(chosen: Sequence[Answer], start: Snapshot, session: Session) -> float:
    """The KL from the start, at least 0, estimated on each prompt with the next row's answer."""
    following = [*chosen[1:], chosen[0]]
    pairs = [(prompt, answer) for (prompt, _), (_, answer) in zip(chosen, following, strict=True)]
    batch = _batch(pairs, start)
    return max(0.0, float(log_ratios(session.forward(batch).result(), batch).mean()))


def _batch(
    answers: Sequence[Answer], start: Snapshot, columns: Mapping[str, npt.ArrayLike] | None = None
) -> Batch:
    sequences = [
        (np.concatenate(a), {"weights": np.repeat([0, 1], [*map(len, a)])}) for a in answers
    ]
    batch = Batch.from_sequences(sequences, columns)
    return batch.with_columns(reference_logprobs=start.forward(batch).result())


def _split(row: Rendered) -> Answer:
    """The tokens before the last answer, and the answer's."""
    end = int(np.flatnonzero(row.weights)[-1]) + 1
    begin = int(np.flatnonzero(row.weights[:end] == 0)[-1]) + 1
    return row.tokens[:begin], row.tokens[begin:end]


def _sign(number: int, row: Mapping[str, Any]) -> float:
    label = row.get("label")
    if not isinstance(label, bool):
        raise DataError(f"row {number}: label must be true (liked) or false (got {label!r})")
    return 1.0 if label else -1.0
