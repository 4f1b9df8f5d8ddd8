"""What completions are drawn from and how, and what was drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import attrs
import numpy as np
import numpy.typing as npt

from customize._batch import Floats, Ints
from customize._options import option, options


def _tokens(values: npt.ArrayLike) -> Ints:
    return np.asarray(values, np.int32)


@attrs.frozen(eq=False)
class Prompt:
    """Tokens to go on from, int32 [T], for ``n`` completions that draw from ``seed``."""

    tokens: Ints = attrs.field(converter=_tokens)
    n: int = 1
    seed: int = 0


@options
class Sampling:
    """How completions are drawn."""

    max_tokens: int = option(default=256, help="Tokens at most.", at_least=1)
    temperature: float = option(default=1.0, help="0 takes the likeliest token.", at_least=0)
    top_k: int = option(default=0, help="Only the k likeliest tokens; 0 is off.", at_least=0)
    top_p: float = option(
        default=1.0, help="Only the likeliest tokens of this mass.", above=0, at_most=1
    )
    stop: tuple[str, ...] | None = option(
        default=None, help="Texts that end a completion, beside the model's own stop tokens."
    )
    stop_tokens: tuple[int, ...] | None = option(
        default=None, help="Tokens that end a completion; None takes the renderer's, () none."
    )
    prompt_logprobs: bool = option(
        default=False, help="Also the log-probability of each prompt token."
    )


@attrs.frozen(eq=False)
class Completion:
    """What a model said.

    tokens: int32 [T], the stop token included.
    logprobs: float32 [T], those of ``forward``: temperature 1, nothing cut off.
    sampling_logprobs: float32 [T], those of the distribution the tokens were drawn from.
    stop_reason: ``stop`` or ``length``.
    prompt_logprobs: float32 [prompt tokens], 0 for the first, when asked for.
    """

    tokens: Ints
    logprobs: Floats
    sampling_logprobs: Floats
    stop_reason: Literal["stop", "length"]
    prompt_logprobs: Floats | None = None


# (prompt's index, completion's index, token), called as tokens are drawn.
OnToken = Callable[[int, int, int], None]
