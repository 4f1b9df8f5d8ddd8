"""The options, and what presets make of them. Knows no algorithm."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from customize import (
    CISPO,
    PPO,
    Dataset,
    Environment,
    ImportanceSampling,
    Loss,
    Method,
    OptionError,
    Renderer,
    UnknownName,
    differentiate,
    find_environment,
    judged,
    load_function,
    option,
    options,
    say,
)
from customize_grpo.algebra import Algebra, Objective
from customize_grpo.presets import DEFAULTS, NOTES, PRESETS, settled, unread

Function = Callable[..., Any]  # a person's


@options
class Choices(Method):
    """What is rewarded, how it is sampled, and what is made of the rewards."""

    reward: str | Function | Mapping[Any, Any] | tuple[Any, ...] | None = option(
        default=None,
        help="A function that asks by name for completion, messages, row or columns of the row; "
        "several, or a mapping from functions to weights. package.module:name names one.",
    )
    tools: tuple[Any, ...] = option(
        default=(), help="Typed functions the model may call, or their names as package.module:name"
    )
    seconds: float | None = option(
        default=None,
        help="For each call of a reward, a tool or a judge of siblings; 30 by default. An "
        "environment has seconds of its own.",
        above=0.0,
    )
    environment: str | Function | None = option(
        default=None,
        help="In place of reward: a generator of (row, rng), package.module:name, or what a plugin "
        "offers, as gsm8k:level=3.",
    )
    preset: str | None = option(
        default=None,
        help="A published method: sets the options below that are not given, and says which.",
        choices=tuple(PRESETS),
    )
    baseline: str | None = option(
        default=None,
        help="What a reward is compared with: its group's mean, by default; the mean of the "
        "others, the mean by length, or nothing.",
        choices=("mean", "leave_one_out", "length", "none"),
    )
    scale: str | None = option(
        default=None,
        help="What advantages are divided by: nothing, by default, or a standard deviation; "
        "without a baseline that of all tokens alone.",
        choices=("none", "group", "batch", "tokens"),
    )
    per: str | None = option(
        default=None,
        help="What counts the same: every token, by default; every sequence, every prompt, a token "
        "over a constant, or a token as it is.",
        choices=("token", "sequence", "prompt", "constant", "sum"),
    )
    horizon: int | None = option(
        default=None, help="The constant of per=constant; 0 is max_tokens.", at_least=0
    )
    ratio: str | None = option(
        default=None,
        help="The policy's probability over the sampler's: of each token, by default, or of whole "
        "sequences.",
        choices=("token", "sequence"),
    )
    clip: str | None = option(
        default=None,
        help="Cap the ratio as a weight, by default; clip it as PPO does; or leave it.",
        choices=("weight", "ppo", "none"),
    )
    clip_low: float | None = option(
        default=None,
        help="ppo: how far below 1, 0.2 by default; weight: the least, 0 by default.",
        at_least=0.0,
    )
    clip_high: float | None = option(
        default=None,
        help="ppo: how far above 1, 0.2 by default; weight: the most, 5 by default.",
        above=0.0,
    )
    dual: float | None = option(
        default=None, help="ppo: a bound on what a bad token costs, as a multiple.", above=1.0
    )
    surrogate: str | Function | None = option(
        default=None,
        help="In place of clip: a torch function of (ratio, advantage) to each token's objective.",
    )
    kl: float | None = option(
        default=None, help="Weight of KL to the policy as it was at the start.", at_least=0.0
    )
    kl_as: str | None = option(
        default=None,
        help="Off each token's advantage, summed to go (exact), by default; off the episode's "
        "reward (exact); or k3 in the loss (biased).",
        choices=("to_go", "reward", "loss"),
    )
    watch_kl: int = option(
        default=1,
        help="Prompts of a step whose episodes the base is asked about too, to log how far the "
        "policy is from it: a forward pass on these. 0 logs no KL to the base.",
        at_least=0,
    )
    refill: int | None = option(
        default=None,
        help="Times that further prompts are sampled in place of groups that teach nothing.",
        at_least=0,
    )
    truncated: str = option(
        default="judge",
        help="An episode that was cut: as it is judged, left out, or with a reward of 0 where it "
        "is judged better.",
        choices=("judge", "drop", "penalise"),
    )
    overlong: float | None = option(
        default=None,
        help="Share of max_tokens, before their end, over which a longer reply is rewarded less, "
        "by 1 at the end (arXiv 2503.14476); a reward with a part overlong has its own.",
        at_least=0.0,
        at_most=1.0,
    )
    batch_size: int = option(default=8, help="Prompts a step.", at_least=1)
    group_size: int = option(default=8, help="Episodes a prompt.", at_least=1)
    epochs: float = option(default=1.0, help="Passes over the rows.", above=0.0)
    steps: int = option(default=0, help="Steps; 0 takes what epochs gives.", at_least=0)
    updates: int = option(default=1, help="Optimizer steps on each step's episodes.", at_least=1)
    lag: int = option(default=0, help="Steps that sampling is ahead of training.", at_least=0)
    lr: float = option(
        default=5e-5,
        help="Peak learning rate. LoRA wants about ten times the rate of full fine-tuning.",
        at_least=0.0,
        full=5e-6,
    )
    schedule: str = option(
        default="constant",
        help="How the rate falls after warm-up.",
        choices=("constant", "linear", "cosine", "wsd"),
    )
    warmup: float = option(
        default=0.0, help="Share of the steps over which the rate rises.", at_least=0.0, below=1.0
    )
    weight_decay: float = option(default=0.0, help="Decoupled weight decay.", at_least=0.0)
    max_grad_norm: float = option(
        default=1.0, help="Norm the gradient is scaled down to; 0 leaves it.", at_least=0.0
    )
    max_tokens: int = option(default=256, help="Tokens of a reply at most.", at_least=1)
    max_turns: int = option(default=16, help="Replies of an episode at most.", at_least=1)
    max_length: int = option(default=4096, help="Tokens of a sequence at most.", at_least=2)
    observation_tokens: int = option(
        default=2048, help="A longer text of the environment is cut, and marked.", at_least=8
    )
    temperature: float = option(
        default=1.0, help="Of sampling; other than 1 needs behaviour=sampler.", above=0.0
    )
    top_p: float = option(
        default=1.0,
        help="Only the likeliest tokens of this mass; below 1 needs behaviour=sampler.",
        above=0.0,
        at_most=1.0,
    )
    behaviour: str = option(
        default="policy",
        help="Whose probabilities the ratio is to: the policy's, or the sampler's, which differ "
        "where temperature or top_p is not 1.",
        choices=("policy", "sampler"),
    )
    rewrites: str = option(
        default="refuse",
        help="Where the chat template rewrites what was said, as some drop earlier thoughts: "
        "refuse to go on, or restart with the whole conversation in a new sequence of the episode.",
        choices=("refuse", "restart"),
    )
    max_errors: float = option(
        default=0.1,
        help="Share of episodes that may fail, of a step or of held-out rows; beyond it the run "
        "stops, and below 1 also where a judge of siblings leaves nothing of two steps in a row.",
        at_least=0.0,
        at_most=1.0,
    )
    solved: float = option(
        default=1.0,
        help="The reward from which an episode counts as solved, for pass@1 and pass@k.",
        at_least=-1e9,
    )
    validation_samples: int = option(
        default=4, help="Episodes of each held-out row: the k of pass@k.", at_least=1
    )

    def __attrs_post_init__(self) -> None:
        self._check_what_is_played()
        self._check_sampling()
        self._settle()
        if self.clip == "ppo" and self.clip_low >= 1:  # type: ignore[operator]  # settled above
            raise OptionError(f"with clip=ppo clip_low must be < 1 (got {self.clip_low})")
        if self.dual is not None and self.clip != "ppo":
            raise OptionError("dual is read by clip=ppo alone: leave it out")
        if self.is_relative and self.group_size < 2:
            raise OptionError(
                f"group_size must be >= 2 with baseline={self.baseline}: siblings are compared"
            )

    @property
    def is_relative(self) -> bool:
        return self.baseline != "none"

    def announced(self) -> None:
        """Say what the preset has set, and what to know of it."""
        if self.preset is None:
            return
        set_ = {name: getattr(self, name) for name in DEFAULTS}
        told = ", ".join(f"{name}={value}" for name, value in set_.items() if value is not None)
        say(f"preset {self.preset}: {told} ({NOTES[self.preset]})")

    def played(self) -> Environment:
        """The environment that is played.

        Raises:
            OptionError, UnknownName: it cannot be found or used.
        """
        if self.environment is not None:
            return find_environment(self.environment)
        assert self.reward is not None
        return judged(self.reward, self.tools, self.seconds)

    def check_ahead(self, rows: Dataset, renderer: Renderer, context: int | None) -> None:
        self.check_scale()
        self.check_played(rows)

    def check_scale(self) -> None:
        """Asked of what begins alone: what was begun without this goes on and is replayed.

        Raises:
            OptionError: advantages would have no bound.
        """
        if not self.is_relative and self.scale in ("group", "batch"):
            raise OptionError(
                f"scale={self.scale} needs a baseline: without one a reward over a spread near 0 "
                "has no bound; set a baseline, scale=tokens or scale=none"
            )

    def check_played(self, rows: Dataset) -> None:
        """Hold rows against what is played; the same rows once, for a reward may be slow.

        Raises:
            OptionError: they cannot be played.
            Unsupported: a tool cannot be used here.
        """
        check = self.played().check
        if check is not None and rows.fingerprint not in self._checked:
            check(rows)
        self._checked.add(rows.fingerprint)

    def algebra(self) -> Algebra:
        """What is made of rewards."""
        horizon = self.horizon or self.max_tokens
        return Algebra(str(self.baseline), str(self.scale), str(self.per), horizon)

    def objective(self) -> Objective:
        """What is made of log-probabilities."""
        kl = float(self.kl or 0.0) if self.kl_as == "loss" else 0.0
        return Objective(self._surrogate(), str(self.ratio), kl)

    @cached_property
    def _checked(self) -> set[str]:
        """Fingerprints of the rows that were held against what is played."""
        return set()

    def _surrogate(self) -> Loss:
        low, high = float(self.clip_low or 0.0), float(self.clip_high or 0.0)
        if self.surrogate is not None:
            return _differentiated(load_function(self.surrogate))
        if self.clip == "ppo":
            return PPO(low=1 - low, high=1 + high, dual=self.dual)
        return CISPO(low=low, high=high) if self.clip == "weight" else ImportanceSampling()

    def _settle(self) -> None:
        """Fill in what is not given, once, so that a run tells what it did."""
        chosen = {**vars(self), **settled(self.preset, vars(self))}
        left_out = unread(chosen)
        for name, why in left_out.items():
            if getattr(self, name) is not None:
                raise OptionError(f"{name} is not read {why}: leave it out")
        for name in DEFAULTS:
            object.__setattr__(self, name, None if name in left_out else chosen[name])

    def _check_what_is_played(self) -> None:
        if (self.reward is None) == (self.environment is None):
            raise OptionError(
                "give reward, as package.module:name, or environment: one of them says what is "
                "learnt"
            )
        if self.tools and self.reward is None:
            raise OptionError("tools go with reward; an environment offers its own")
        if self.seconds is not None and self.reward is None:
            raise OptionError("seconds goes with reward; an environment has its own")
        try:
            self.played()
        except UnknownName as error:
            raise OptionError(f"environment: {error}") from error

    def _check_sampling(self) -> None:
        if (self.temperature != 1 or self.top_p != 1) and self.behaviour == "policy":
            raise OptionError(
                "sampled away from temperature 1 and top_p 1 the ratio would be wrong: leave them, "
                "or set behaviour=sampler"
            )


def _differentiated(function: Function) -> Loss:
    def loss(logprobs: Any, batch: Any) -> Any:  # torch tensors, whose types are not here
        import torch

        columns = {
            name: torch.tensor(batch.columns[name]).double()
            for name in ("weights", "advantages", "sampling_logprobs")
        }
        seen = columns["weights"] != 0
        ratio = torch.where(seen, logprobs - columns["sampling_logprobs"], 0.0).exp()
        return -(columns["weights"] * function(ratio, columns["advantages"]))[seen].sum()

    return differentiate(loss, "token")
