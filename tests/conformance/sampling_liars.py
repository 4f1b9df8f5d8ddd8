"""Backends that break one rule of sampling each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np
from lying import Lying

from customize import (
    Backend,
    Completion,
    Done,
    Handle,
    OnToken,
    Prompt,
    Sampling,
)
from customize.testing.toy import ToySnapshot

Told = Handle[list[list[Completion]]]


def each(told: Told, change: Callable[[Completion], Completion]) -> Told:
    """What was told, each completion changed."""
    return Done([[change(c) for c in completions] for completions in told.result()])


class TellsOneLogprob(ToySnapshot):
    """``logprobs`` are those that were drawn from."""

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Told:
        told = super().sample(prompts, sampling, on_token)
        return each(told, lambda c: attrs.evolve(c, logprobs=c.sampling_logprobs))


class TellsForwardsLogprob(ToySnapshot):
    """``sampling_logprobs`` are those of forward, but when greedy."""

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Told:
        told = super().sample(prompts, sampling, on_token)
        if sampling.temperature == 0:
            return told
        return each(told, lambda c: attrs.evolve(c, sampling_logprobs=c.logprobs))


class DrawsWhenGreedy(ToySnapshot):
    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Told:
        if sampling.temperature:
            return super().sample(prompts, sampling, on_token)
        warm = attrs.evolve(sampling, temperature=1.0)  # type: ignore[misc]
        zero = np.float32(0)
        told = super().sample(prompts, warm, on_token)
        return each(told, lambda c: attrs.evolve(c, sampling_logprobs=zero * c.sampling_logprobs))


class DrawsPairs(ToySnapshot):
    """Every second completion repeats the one before, from two tokens on."""

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Told:
        found = super().sample(prompts, sampling).result()
        if sampling.max_tokens > 1:
            found = [[some[j - j % 2] for j in range(len(some))] for some in found]
        for i, some in enumerate(found):
            for j, completion in enumerate(some):
                for token in completion.tokens if on_token is not None else ():
                    assert on_token is not None
                    on_token(i, j, int(token))
        return Done(found)


class DrawsByPlace(ToySnapshot):
    """The prompt's place among others is part of its seed."""

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Told:
        moved = [attrs.evolve(p, seed=p.seed + 1000 * i) for i, p in enumerate(prompts)]
        return super().sample(moved, sampling, on_token)


class DropsStops(ToySnapshot):
    """The stop token is left out."""

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Told:
        return each(super().sample(prompts, sampling, on_token), _without_stop)


def _without_stop(c: Completion) -> Completion:
    if c.stop_reason == "length":
        return c
    return Completion(c.tokens[:-1], c.logprobs[:-1], c.sampling_logprobs[:-1], "stop")


class TellsNoTokens(ToySnapshot):
    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Told:
        return super().sample(prompts, sampling)


class IgnoresSeeds(ToySnapshot):
    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Told:
        return super().sample([attrs.evolve(p, seed=0) for p in prompts], sampling, on_token)


LIARS: dict[str, Callable[[], Backend]] = {
    "check_completions_have_forwards_logprobs": lambda: Lying(snapshot=TellsOneLogprob),
    "check_draws_follow_sampling_logprobs": lambda: Lying(snapshot=TellsForwardsLogprob),
    "check_temperature_zero_is_greedy": lambda: Lying(snapshot=DrawsWhenGreedy),
    "check_completions_of_a_prompt_differ": lambda: Lying(snapshot=DrawsPairs),
    "check_draws_do_not_see_each_other": lambda: Lying(snapshot=DrawsByPlace),
    "check_stops_end_a_completion": lambda: Lying(snapshot=DropsStops),
    "check_tokens_are_told_as_drawn": lambda: Lying(snapshot=TellsNoTokens),
    "check_same_seed_same_run": lambda: Lying(snapshot=IgnoresSeeds),
}
