"""The parity gate: an export must answer as the session does. Knows no format.

The session's greedy answers and their log-probabilities are the reference; the target's runtime
scores the same tokens, and says what it would have said itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from customize._batch import Batch
from customize._errors import ParityError
from customize.interfaces.backend import Prompt, Sampling, Snapshot
from customize.interfaces.renderer import Message

# Nats by which a token may lead another that the session said: rounding in float32, and of
# weights that are stored in 16 bits.
_EXACT, _EXACT_MARGIN, _ROUNDED_MARGIN = 1e-3, 1e-4, 0.05


@attrs.frozen
class Answer:
    """Tokens of a prompt and of its greedy answer, and the answer's log-probabilities."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]


def reference_answers(
    snapshot: Snapshot, prompts: Sequence[Sequence[Message]], max_tokens: int = 24
) -> list[Answer]:
    """What the session says to each prompt, greedily."""
    asked = [Prompt(snapshot.renderer.prompt(messages)) for messages in prompts]
    sampling = Sampling(max_tokens=max_tokens, temperature=0.0)
    said = snapshot.sample(asked, sampling).result()
    return [
        Answer(
            tuple(prompt.tokens.tolist()),
            tuple(completion.tokens.tolist()),
            tuple(completion.logprobs.tolist()),
        )
        for prompt, (completion,) in zip(asked, said, strict=True)
    ]


def logprobs_of(snapshot: Snapshot, answers: Sequence[Answer]) -> list[list[float]]:
    """Another snapshot's log-probabilities of the same answers."""
    rows = []
    for answer in answers:
        weights = [0.0] * len(answer.prompt) + [1.0] * len(answer.tokens)
        rows.append(([*answer.prompt, *answer.tokens], {"weights": weights}))
    batch = Batch.from_sequences(rows)
    flat = snapshot.forward(batch).result()
    parts = np.split(flat, batch.offsets[1:-1])
    return [part[len(a.prompt) :].tolist() for part, a in zip(parts, answers, strict=True)]


def check_parity(
    reference: Sequence[Answer],
    target: Sequence[Mapping[str, Any]],
    base: Sequence[Sequence[float]],
    tolerance: float,
) -> dict[str, float]:
    """Figures of the comparison.

    Args:
        target: for each answer ``logprobs`` of its tokens, the ``greedy`` token at each place and
            the ``margin`` in nats by which that one leads; from the target's runtime.
        base: the base's log-probabilities of the same tokens; a merge that did nothing is caught.
        tolerance: mean absolute difference of log-probabilities that is allowed, in nats.

    Raises:
        ParityError: it answers differently; the message names prompt and place.
    """
    away, moved = [], []
    for number, (answer, got, plain) in enumerate(zip(reference, target, base, strict=True)):
        _check_tokens(number, answer, got, tolerance)
        away.append(np.abs(np.subtract(answer.logprobs, got["logprobs"])).mean())
        moved.append(np.abs(np.subtract(answer.logprobs, plain)).mean())
    figures = {
        "prompts": float(len(reference)),
        "mean_logprob_difference": float(np.mean(away)),
        "mean_difference_to_base": float(np.mean(moved)),
    }
    worst = int(np.argmax(away))
    if not figures["mean_logprob_difference"] <= tolerance:
        raise ParityError(
            f"the export's log-probabilities differ by {figures['mean_logprob_difference']:.2g} "
            f"nats on average, more than {tolerance:g}; most on prompt {worst + 1}"
        )
    to_base = [
        np.abs(np.subtract(got["logprobs"], plain)).mean()
        for got, plain in zip(target, base, strict=True)
    ]
    if figures["mean_difference_to_base"] > 10 * tolerance and np.mean(to_base) <= tolerance:
        raise ParityError("the export answers as the base does: what was trained is not in it")
    return figures


def _check_tokens(number: int, answer: Answer, got: Mapping[str, Any], tolerance: float) -> None:
    """Greedy tokens are equal but where the target's own lead is within rounding."""
    rounding = _EXACT_MARGIN if tolerance <= _EXACT else _ROUNDED_MARGIN
    for place, (token, greedy, margin) in enumerate(
        zip(answer.tokens, got["greedy"], got["margin"], strict=True)
    ):
        if token != greedy and margin > rounding:
            raise ParityError(
                f"prompt {number + 1}, token {place + 1}: the session says token {token}, the "
                f"export {greedy}, by a margin of {margin:.3g} nats"
            )
