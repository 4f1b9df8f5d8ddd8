"""The method: one step a row."""

from typing import ClassVar

from customize import AdamW, Batch, CrossEntropy, Method, Step, option, options


@options
class Sound(Method):
    """One step a row."""

    data: ClassVar[str] = "chat"
    needs: ClassVar[frozenset[str]] = frozenset({"forward_backward"})

    lr: float = option(default=0.1, help="Learning rate.", above=0.0)

    def num_steps(self, data):
        return len(data)

    def train(self, session, data, resume=None):
        for index in range(resume.number if resume else 0, len(data)):
            rendered = session.renderer.render(data[index]["messages"])
            batch = Batch.from_sequences([(rendered.tokens, {"weights": rendered.weights})])
            loss = session.forward_backward(batch, CrossEntropy()).result().loss
            session.optim_step(AdamW(lr=self.lr)).result()
            yield Step(index + 1, {"loss": loss})
