"""The method: the whole algorithm. Knows sessions and rows, no device and no folder."""

from collections.abc import Iterator
from typing import ClassVar

from customize import (
    AdamW,
    Batch,
    CrossEntropy,
    DataError,
    Dataset,
    Method,
    Session,
    Step,
    option,
    options,
    render_rows,
    shuffled_row,
)


@options
class Example(Method):
    """The mean log-probability of the answers' tokens, at a constant learning rate."""

    data: ClassVar[str] = "chat"
    needs: ClassVar[frozenset[str]] = frozenset({"forward_backward"})

    lr: float = option(default=2e-4, help="Learning rate.", at_least=0.0)
    epochs: int = option(default=1, help="Passes over the rows.", at_least=1)
    batch_size: int = option(default=8, help="Rows a step.", at_least=1)

    def num_steps(self, data: Dataset) -> int:
        return -(-len(data) * self.epochs // self.batch_size)

    def train(self, session: Session, data: Dataset, resume: Step | None = None) -> Iterator[Step]:
        self.check_rows(data)
        answers = render_rows(data, session.renderer)
        done = 0 if resume is None else resume.number
        for number in range(done + 1, self.num_steps(data) + 1):
            # A function of the seed and the step: nothing to remember when the run is killed.
            places = range((number - 1) * self.batch_size, number * self.batch_size)
            rows = [shuffled_row(session.seed, place, len(data)) for place in places]
            weights = [answers[i].weights * data[i].get("weight", 1.0) for i in rows]
            total = sum(float(w.sum()) for w in weights)
            if total == 0:
                raise DataError(
                    f"step {number}: every row of the batch has weight 0: leave such rows out"
                )
            batch = Batch.from_sequences(
                [
                    (answers[i].tokens, {"weights": w / total})
                    for i, w in zip(rows, weights, strict=True)
                ]
            )
            output = session.forward_backward(batch, CrossEntropy())
            norm = session.optim_step(AdamW(lr=self.lr))
            yield Step(number, {"loss": output.result().loss, "grad_norm": norm.result()})
