"""Supervised fine-tuning: the whole algorithm. Knows sessions and rows, no device and no folder."""

import warnings
from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from customize import (
    AdamW,
    Batch,
    CrossEntropy,
    DataError,
    Dataset,
    Method,
    OptionError,
    Session,
    Snapshot,
    Step,
    option,
    options,
    render_rows,
    schedule_factor,
)
from customize_sft.replay import Replayed, answered_by_the_base, most_replayed, pack, unpack
from customize_sft.rows import Rows

_HELD_AT_ONCE = 32  # rows of held-out data in one batch, which a backend cuts as it likes


@options
class SFT(Method):
    """Loss on the assistant's tokens, end of turn included; every token counts the same.

    The weights of a batch are divided by their sum, so the gradient is the mean over the trained
    tokens of the whole batch, however a backend cuts it.
    """

    data: ClassVar[str] = "chat"
    needs: ClassVar[frozenset[str]] = frozenset({"forward_backward"})
    shorten: ClassVar[str] = "shorten or leave out the row"  # one that is too long

    lr: float = option(
        default=2.5e-4,
        help="Peak learning rate. LoRA wants about ten times the rate of full fine-tuning.",
        at_least=0.0,
        full=2.5e-5,
    )
    epochs: float = option(default=3.0, help="Passes over the rows.", above=0.0)
    steps: int = option(default=0, help="Optimizer steps; 0 takes what epochs gives.", at_least=0)
    batch_size: int = option(default=8, help="Rows a step.", at_least=1)
    schedule: str = option(
        default="cosine",
        help="How the rate falls after warm-up.",
        choices=("constant", "linear", "cosine", "wsd"),
    )
    warmup: float = option(
        default=0.05, help="Share of the steps over which the rate rises.", at_least=0.0, below=1.0
    )
    weight_decay: float = option(default=0.0, help="Decoupled weight decay.", at_least=0.0)
    max_grad_norm: float = option(
        default=1.0, help="Norm the gradient is scaled down to; 0 leaves it.", at_least=0.0
    )
    together: bool = option(
        default=False,
        help="Rows that follow one another with the same system message, or one value of the "
        "column together, up to a step's, stay in one step, which computes what they begin with "
        "once; else every row is shuffled by itself.",
    )
    max_length: int = option(
        default=4096, help="Tokens a row may have; a longer one is refused, never cut.", at_least=2
    )
    replay: float = option(
        default=0.0,
        help="Share of rows that are general prompts answered by the base itself.",
        at_least=0.0,
        below=1.0,
    )
    kl_to_base: float = option(
        default=0.0,
        help="Weight of KL(base || model) on the replay rows, which are then drawn from the base "
        "at temperature 1; 0 counts them like any other row.",
        at_least=0.0,
    )

    def __attrs_post_init__(self) -> None:
        if self.kl_to_base and not self.replay:
            raise OptionError("kl_to_base is measured on replay rows: set replay too, as 0.25")

    def needed(self) -> frozenset[str]:
        return self.needs | {"base", "sample"} if self.replay else self.needs

    def num_steps(self, data: Dataset) -> int:
        """Steps for these rows, replay rows included."""
        if self.steps:
            return self.steps
        rows = len(data) + self._num_replay(len(data))
        return max(1, int(np.ceil(self.epochs * rows / self.batch_size)))

    def train(self, session: Session, data: Dataset, resume: Step | None = None) -> Iterator[Step]:
        self.check_rows(data)
        replay = self._replay(session, len(data), resume)
        together = self.batch_size if self.together else 1
        rendered = render_rows(data, session.renderer)
        rows = Rows(data, rendered, replay, self.max_length, self.shorten, together)
        total, state = self.num_steps(data), pack(replay)
        for number in range(1 if resume is None else resume.number + 1, total + 1):
            batch, epoch = self._batch(rows, session.seed, number)
            rate = self.lr * schedule_factor(self.schedule, number, total, self.warmup)
            output = session.forward_backward(batch, CrossEntropy())
            norm = session.optim_step(
                AdamW(lr=rate, weight_decay=self.weight_decay, max_grad_norm=self.max_grad_norm)
            )
            metrics = {
                "loss": output.result().loss,
                "grad_norm": norm.result(),
                "lr": rate,
                "epoch": epoch,
                "tokens": float(batch.num_tokens),
                "trained_tokens": float(batch.scored.sum()),
            }
            yield Step(number, {**metrics, **self._kl(batch, output.result().logprobs)}, state)

    def validate(self, snapshot: Snapshot, rows: Dataset) -> Mapping[str, float]:
        """``validation_loss``: nats per trained token, over all rows at once."""
        rendered = render_rows(rows, snapshot.renderer)
        held = Rows(rows, rendered, [], self.max_length, self.shorten)
        lost = weight = 0.0
        for start in range(0, len(held), _HELD_AT_ONCE):
            batch = held.batch(range(start, min(start + _HELD_AT_ONCE, len(held))))
            logprobs = snapshot.forward(batch).result()
            lost -= float((batch.weights * logprobs).sum(dtype=np.float64))
            weight += float(batch.weights.sum(dtype=np.float64))
        return {"validation_loss": lost / weight}

    def _batch(self, rows: Rows, seed: int, number: int) -> tuple[Batch, float]:
        """The rows of a step are a function of (seed, step): nothing has to be remembered."""
        first = (number - 1) * self.batch_size
        places = range(first, first + self.batch_size)
        batch = rows.batch([rows.at(seed, place) for place in places])
        if not batch.weights.any():
            raise DataError(
                f"step {number}: every row of the batch has weight 0: leave such rows out of the "
                "data, or raise batch_size, and train anew"
            )
        return batch.with_columns(weights=self._normalised(batch)), first / len(rows)

    def _normalised(self, batch: Batch) -> npt.NDArray[np.float64]:
        """Weights whose sum is the mean over trained tokens, plus kl_to_base times that of replay.

        The gradient of KL(base || model) at tokens drawn from the base is that of their
        cross-entropy, so the penalty is a weight and needs no loss of its own.
        """
        weights: npt.NDArray[np.float64] = batch.weights.astype(np.float64)
        if not self.kl_to_base:
            weights /= weights.sum()
            return weights
        replay = np.repeat(batch.sequence_columns["replay"], batch.lengths) > 0
        for part, strength in ((~replay, 1.0), (replay, self.kl_to_base)):
            if weights[part].any():
                weights[part] *= strength / weights[part].sum()
        return weights

    def _kl(self, batch: Batch, logprobs: npt.NDArray[np.float32]) -> Mapping[str, float]:
        """``kl_to_base``: nats a token, estimated on this batch's replay rows, if it has any."""
        replay = np.repeat(batch.sequence_columns["replay"], batch.lengths) > 0
        trained = replay & batch.scored
        if not self.kl_to_base or not trained.any():
            return {}
        away = batch.columns["reference_logprobs"][trained] - logprobs[trained]
        return {"kl_to_base": float(away.mean())}

    def _wanted(self, num_rows: int) -> int:
        """Replay rows beside so many of the data's for their share to be ``replay``."""
        return round(num_rows * self.replay / (1 - self.replay))

    def _num_replay(self, num_rows: int) -> int:
        return min(self._wanted(num_rows), most_replayed())

    def _replay(self, session: Session, num_rows: int, resume: Step | None) -> list[Replayed]:
        """General prompts with the base's own answers, made once and kept in the state."""
        num_replay = self._num_replay(num_rows)
        if not num_replay:
            return []
        if resume is not None:
            return unpack(resume.state)
        if num_replay < (wanted := self._wanted(num_rows)):
            warnings.warn(
                f"replay={self.replay:g} asks for {wanted} replay rows beside {num_rows} of yours: "
                f"{num_replay} are made, {num_replay / (num_rows + num_replay):.1%} of all; for a "
                "greater share take fewer rows, or add general ones of your own",
                stacklevel=2,
            )
        return answered_by_the_base(session, num_replay, float(self.kl_to_base > 0))
