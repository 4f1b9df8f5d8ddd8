"""Direct preference optimisation: the whole algorithm. Knows sessions and pairs, no device."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from typing import Any, ClassVar

from customize import (
    AdamW,
    Dataset,
    Method,
    OptionError,
    Renderer,
    Session,
    Snapshot,
    Step,
    load_function,
    option,
    options,
    schedule_factor,
    shuffled_row,
)
from customize_dpo.coupling import Coupled, measures
from customize_dpo.losses import NAMED, REFERENCE_FREE, PairLoss, differentiated, with_beta
from customize_dpo.pairs import Pairs
from customize_dpo.reference import Reference
from customize_dpo.watching import watched

_BETA = 0.1


@options
class DPO(Method):
    """From pairs: more of what was chosen, less of what was rejected, staying near the reference.

    That is the model as it is when the method begins, or the base. What it says of every answer is
    computed once, before the first step, and kept in the step's state; of held-out pairs once too.
    """

    data: ClassVar[str] = "preference"
    needs: ClassVar[frozenset[str]] = frozenset({"forward_backward"})

    loss: str | Callable[..., Any] = option(
        default="sigmoid",
        help="sigmoid (DPO itself), ipo, hinge, robust, simpo or orpo; or a torch function of "
        "(policy, reference) or (policy, reference, beta), given or named as package.module:name.",
    )
    beta: float = option(
        default=_BETA,
        help="Strength: how near the start to stay; simpo wants about 2. A function of one's own "
        "gets it where it takes beta.",
        above=0.0,
    )
    reference: str = option(
        default="start",
        help="Near what to stay: the model as it is when the method begins, or its base.",
        choices=("start", "base"),
    )
    label_smoothing: float = option(
        default=0.0,
        help="Share of pairs labelled the wrong way round; read by robust alone.",
        at_least=0.0,
        below=0.5,
    )
    gamma: float = option(
        default=0.0, help="The margin simpo aims at, 0.3 to 1.6 in its paper.", at_least=0.0
    )
    length_normalize: bool = option(
        default=False,
        help="Take means over an answer's tokens in place of sums; simpo and orpo always do.",
    )
    sft: float = option(
        default=0.0, help="Weight of the chosen answer's own loss a token.", at_least=0.0
    )
    lr: float = option(
        default=5e-5,
        help="Peak learning rate. LoRA wants about ten times the rate of full fine-tuning.",
        at_least=0.0,
        full=5e-6,
    )
    epochs: float = option(default=1.0, help="Passes over the pairs.", above=0.0)
    steps: int = option(default=0, help="Optimizer steps; 0 takes what epochs gives.", at_least=0)
    batch_size: int = option(default=8, help="Pairs a step.", at_least=1)
    schedule: str = option(
        default="cosine",
        help="How the rate falls after warm-up.",
        choices=("constant", "linear", "cosine", "wsd"),
    )
    warmup: float = option(
        default=0.1, help="Share of the steps over which the rate rises.", at_least=0.0, below=1.0
    )
    weight_decay: float = option(default=0.0, help="Decoupled weight decay.", at_least=0.0)
    max_grad_norm: float = option(
        default=1.0, help="Norm the gradient is scaled down to; 0 leaves it.", at_least=0.0
    )
    max_length: int = option(
        default=4096, help="Tokens a side may have; a longer one is refused, never cut.", at_least=2
    )

    def __attrs_post_init__(self) -> None:
        if isinstance(self.loss, str) and self.loss not in NAMED and ":" not in self.loss:
            raise OptionError(
                f"loss must be one of {', '.join(NAMED)}, or a function named as "
                f"'package.module:name' (got {self.loss!r})"
            )
        for name, reader in (("label_smoothing", "robust"), ("gamma", "simpo")):
            if getattr(self, name) and self.loss != reader:
                raise OptionError(f"{name} is read by loss={reader!r} alone: leave it out")
        if self._near is None and self.reference != "start":
            raise OptionError(f"loss={self.loss!r} knows no reference: leave reference out")

    def needed(self) -> frozenset[str]:
        return self.needs if self._near is None else self.needs | {self._near.needs}

    def num_steps(self, data: Dataset) -> int:
        """Steps for these pairs."""
        return self.steps or max(1, -int(-self.epochs * len(data) // self.batch_size))

    def check_ahead(self, rows: Dataset, renderer: Renderer, context: int | None) -> None:
        self._pair_loss()
        Pairs(rows, renderer, self.max_length, context)

    def train(self, session: Session, data: Dataset, resume: Step | None = None) -> Iterator[Step]:
        self.check_rows(data)
        total, pair_loss = self.num_steps(data), self._pair_loss()
        pairs = Pairs(data, session.renderer, self.max_length, session.context())
        seed, num = session.seed, len(data)
        pairs.check_weights(self._chosen(step, seed, num) for step in range(1, total + 1))
        if self._near is not None:
            self._near.forget(session)
        state = self._begun(session, pairs) if resume is None else dict(resume.state)
        for number in range(1 if resume is None else resume.number + 1, total + 1):
            chosen = self._chosen(number, seed, num)
            batch = pairs.batch(chosen, state.get("reference_logprobs"))
            began = state["chosen_began"][chosen]
            rate = self.lr * schedule_factor(self.schedule, number, total, self.warmup)
            output = session.forward_backward(batch, self._coupled(pair_loss, pairs, chosen))
            norm = session.optim_step(
                AdamW(lr=rate, weight_decay=self.weight_decay, max_grad_norm=self.max_grad_norm)
            )
            metrics = {
                "loss": output.result().loss,
                **measures(output.result().logprobs, batch, self.beta, self._means, began),
                "grad_norm": norm.result(),
                "lr": rate,
                "epoch": (number - 1) * self.batch_size / num,
                "tokens": float(batch.num_tokens),
                "trained_tokens": float(batch.scored.sum()),
            }
            state = watched(state, metrics)
            yield Step(number, metrics, state)

    def _chosen(self, number: int, seed: int, num_pairs: int) -> list[int]:
        """The pairs of a step."""
        first = (number - 1) * self.batch_size
        places = range(first, first + self.batch_size)
        return [shuffled_row(seed, place, num_pairs) for place in places]

    def validate(self, snapshot: Snapshot, rows: Dataset) -> Mapping[str, float]:
        """``validation_loss`` and what else is watched, over all pairs at once."""
        pairs = Pairs(rows, snapshot.renderer, self.max_length, snapshot.context())
        reference, began = self._near.of_held_out(snapshot, pairs) if self._near else (None, None)
        batch = pairs.batch(range(len(pairs)), reference)
        logprobs = snapshot.forward(batch).result()
        coupled = self._coupled(self._pair_loss(), pairs, range(len(pairs)))
        found = measures(logprobs, batch, self.beta, self._means, began)
        loss, _ = coupled.evaluate(logprobs, batch)
        return {"validation_loss": loss, **{f"validation_{k}": v for k, v in found.items()}}

    @cached_property
    def _near(self) -> Reference | None:
        return None if self.loss in REFERENCE_FREE else Reference(self.reference)

    @property
    def _means(self) -> bool:
        return self.length_normalize or self.loss in REFERENCE_FREE

    def _pair_loss(self) -> PairLoss:
        if self.loss == "robust":
            return partial(NAMED["robust"], beta=self.beta, smoothing=self.label_smoothing)
        if self.loss == "simpo":
            return partial(NAMED["simpo"], beta=self.beta, gamma=self.gamma)
        if isinstance(self.loss, str) and self.loss in NAMED:
            return partial(NAMED[self.loss], beta=self.beta)
        return differentiated(with_beta(load_function(self.loss), self.beta, unset=_BETA))

    def _coupled(self, pair_loss: PairLoss, pairs: Pairs, chosen: Any) -> Coupled:
        return Coupled(pair_loss, self._means, self.sft, [pairs.place(i) for i in chosen])

    def _begun(self, session: Session, pairs: Pairs) -> dict[str, Any]:
        """The state before the first step: what is said of the answers now."""
        said = {} if self._near is None else self._near.begin(session, pairs)
        if "chosen_began" not in said:
            said["chosen_began"] = pairs.chosen_means(session)
        return {**said, "chosen_change": 0.0, "warned": False}
