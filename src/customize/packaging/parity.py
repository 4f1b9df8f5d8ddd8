"""The parity gate: whether a package answers as the session does. Knows no format.

Shape legend: T tokens of an answer, K tokens whose probability is kept.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from customize.packaging.probe import Answers, Found
from customize.packaging.reference import Case

Doubles = npt.NDArray[np.float64]
_EXACT = ("float32",)
_ROUNDED = ("float16", "bfloat16")
_BY_KERNEL = ("int8", "int4")
# Nats by which a likeliest token may lead another that is said: what rounding in float32 does.
_ROUNDING = 1e-4
# Of the way from the base to the session, how far a package must have come at least; and nats a
# token that base and session must differ by for that to be measured.
_SHARE, _LEARNT = 0.5, 1e-3
_NO_OWN = "none of its own"


@attrs.frozen
class Limits:
    """How near a package must be, by how its weights are kept.

    divergence: nats a token of KL divergence from the session, over all prompts; that of no
        prompt alone may be ten times as much.
    margin: nats by which another token may lead where the greedy answer differs from the
        session's; None: it may differ anywhere, since activations are quantized too.
    own_margin: nats by which another token may lead, by the package's own log-probabilities of
        the whole answer at once, where it differs. onnxruntime computes products in blocks of
        integers by other kernels for one token than for many, which round activations otherwise:
        to second order a divergence of d is a spread of sqrt(2 d) nats, and the largest of some
        hundred differences three times that.
    """

    divergence: float
    margin: float | None
    own_margin: float

    @classmethod
    def of(cls, precision: str) -> Limits:
        """Those for weights kept as ``precision`` says."""
        if precision in _EXACT:
            return cls(1e-8, _ROUNDING, _ROUNDING)
        if precision in _ROUNDED:
            return cls(1e-4, 0.05, 0.05)
        return cls(2e-2, None, 3 * math.sqrt(2 * 2e-2) if precision in _BY_KERNEL else 0.05)


@attrs.frozen
class Fault:
    """Where a package answers otherwise. token: the place in the answer, from 1; None: no one."""

    prompt: str
    told: str
    token: int | None = None

    def __str__(self) -> str:
        place = "" if self.token is None else f", token {self.token}"
        return f"prompt {self.prompt!r}{place}: {self.told}"


@attrs.frozen
class Parity:
    """The outcome. figures: in nats a token, or shares.

    measured: of this machine. task: how a quantized package did on the run's own evaluation.
    rows: how many of the run's own rows were asked, and which these are or why there are none;
    None where a package is verified: they stay with the run.
    own: whether the prompts that the runtime makes by means of its own, and the stop tokens that
    its files tell other programs, are the session's; or that it has none of its own.
    """

    precision: str
    limits: Limits
    figures: Mapping[str, float]
    fault: Fault | None
    measured: Mapping[str, float] = attrs.field(factory=dict)
    task: Mapping[str, str] | None = None
    rows: Mapping[str, Any] | None = None
    own: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def passed(self) -> bool:
        return self.fault is None

    def to_json(self) -> dict[str, Any]:
        """As it stands in ``package.json`` and ``parity.json``."""
        fault = None if self.fault is None else {**attrs.asdict(self.fault)}
        return {
            "verdict": "passed" if self.passed else "failed",
            "fault": fault,
            "precision": self.precision,
            "limits": attrs.asdict(self.limits),
            "figures": {k: v if np.isfinite(v) else None for k, v in self.figures.items()},
            "measured": dict(self.measured),
            "task": self.task,
            "rows": self.rows,
            "own": dict(self.own),
        }


def compare(
    cases: Sequence[Case], answers: Answers, precision: str, stop_tokens: Sequence[int]
) -> Parity:
    """The first fault that there is, and the figures; ``stop_tokens`` are the session's."""
    limits = Limits.of(precision)
    pairs = list(zip(cases, answers.found, strict=True))
    divergences = [_divergence(case, found) for case, found in pairs]
    figures = _figures(pairs, divergences)
    faults = itertools.chain(
        _ends(cases[0], answers, stop_tokens),
        _faults(pairs, divergences, limits, figures),
        _past_the_end(pairs, stop_tokens),
    )
    own = _own(pairs, answers, stop_tokens)
    return Parity(precision, limits, figures, next(faults, None), answers.measured, own=own)


Pairs = Sequence[tuple[Case, Found]]


def _own(pairs: Pairs, answers: Answers, stop_tokens: Sequence[int]) -> dict[str, str]:
    prompts = (fault for case, found in pairs for fault in _in_own_prompt(case, found))
    stops = _own_ends(pairs[0][0], answers, stop_tokens)
    return {
        "prompts": _equal(prompts) if answers.has_own_prompt else _NO_OWN,
        "stop_tokens": _equal(stops) if answers.own_stops else _NO_OWN,
    }


def _equal(faults: Iterator[Fault]) -> str:
    return "equal" if next(faults, None) is None else "not equal"


def _figures(pairs: Pairs, divergences: Sequence[Doubles]) -> dict[str, float]:
    every_T = np.concatenate(divergences)
    same_T = np.concatenate([f.greedy == c.answer for c, f in pairs])
    away_T = np.concatenate([np.abs(f.answer - c.said) for c, f in pairs])
    moved_T = np.concatenate([c.said - c.base for c, f in pairs]).astype(np.float64)
    came_T = np.concatenate([f.answer - c.base for c, f in pairs]).astype(np.float64)
    figures = {
        "prompts": float(len(pairs)),
        "answers_that_end": float(sum(case.stopped for case, _ in pairs)),
        "tokens": float(len(every_T)),
        "kl": float(every_T.mean()),
        "kl_p99": float(np.quantile(every_T, 0.99)),
        "top1": float(same_T.mean()),
        "greedy_equal": float(np.mean([np.array_equal(f.said, c.answer) for c, f in pairs])),
        "mean_logprob_difference": float(away_T.mean()),
        "mean_difference_to_base": float(np.abs(moved_T).mean()),
    }
    if figures["mean_difference_to_base"] > _LEARNT:
        figures["share_of_customization"] = float(came_T @ moved_T / (moved_T @ moved_T))
    return figures


def _divergence(case: Case, found: Found) -> Doubles:
    """KL divergence of the package's distribution from the session's, at each place.

    In the form Σ p (q/p - 1 - log q/p), which is the same and, unlike the plain sum, is not made
    of rounding where both are nearly equal.
    """
    ours = np.concatenate([case.logprobs, case.rest[:, None]], axis=1).astype(np.float64)
    theirs = np.concatenate([found.logprobs, found.rest[:, None]], axis=1).astype(np.float64)
    is_there = np.isfinite(ours)
    away = np.where(is_there, theirs - np.where(is_there, ours, 0.0), 0.0)
    out: Doubles = (np.exp(ours) * (np.expm1(away) - away)).sum(axis=1)
    return out


def _faults(
    pairs: Pairs, divergences: Sequence[Doubles], limits: Limits, figures: Mapping[str, float]
) -> Iterator[Fault]:
    """In the order of what explains what: tokens, then probabilities, then what is said."""
    for case, found in pairs:
        yield from _in_prompt(case, found)
    yield from _in_customization(pairs, figures)
    for (case, _), divergence_T in zip(pairs, divergences, strict=True):
        yield from _in_probabilities(case, divergence_T, 10 * limits.divergence)
    if not figures["kl"] <= limits.divergence:
        worst = int(np.argmax([each.mean() for each in divergences]))
        told = f"over all prompts {figures['kl']:.2g} nats a token; here it is most"
        yield _diverges(pairs[worst][0], divergences[worst], told, limits.divergence)
    for case, found in pairs:
        yield from _in_answer(case, found, limits)


def _in_prompt(case: Case, found: Found) -> Iterator[Fault]:
    if not np.array_equal(case.prompt, found.prompt):
        yield _other_tokens(case, found.prompt, "the package's tokenizer and template make")
    yield from _in_own_prompt(case, found)


def _in_own_prompt(case: Case, found: Found) -> Iterator[Fault]:
    if not case.question.is_plain:
        return
    if found.wrong:
        told = f"the runtime cannot use the package's chat template ({found.wrong})"
        yield Fault(case.question.name, told)
    elif not np.array_equal(case.prompt, found.own):
        yield _other_tokens(case, found.own, "the runtime's own tokenizer and template make")


def _other_tokens(case: Case, found: npt.NDArray[np.int32], who: str) -> Fault:
    shared = min(len(case.prompt), len(found))
    differ = np.flatnonzero(case.prompt[:shared] != found[:shared])
    place = int(differ[0]) if len(differ) else shared
    ours, theirs = ([*tokens[place : place + 4].tolist()] for tokens in (case.prompt, found))
    told = f"{who} other tokens of it: from token {place + 1} on {theirs}, and not {ours}"
    return Fault(case.question.name, told)


def _in_customization(pairs: Pairs, figures: Mapping[str, float]) -> Iterator[Fault]:
    share = figures.get("share_of_customization")
    if share is None or share >= _SHARE:
        return
    moved = [np.abs(case.said - case.base).mean() for case, _ in pairs]
    told = (
        f"the package answers as the base does: {max(share, 0.0):.0%} of what was trained is in it"
    )
    yield Fault(pairs[int(np.argmax(moved))][0].question.name, told)


def _in_probabilities(case: Case, divergence_T: Doubles, limit: float) -> Iterator[Fault]:
    if not divergence_T.mean() <= limit:
        told = f"{divergence_T.mean():.2g} nats a token"
        yield _diverges(case, divergence_T, told, limit)


def _diverges(case: Case, divergence_T: Doubles, how_much: str, limit: float) -> Fault:
    place = int(np.argmax(divergence_T))
    told = (
        f"its probabilities diverge from the session's: {how_much}, allowed are {limit:.2g} "
        f"(at this token {divergence_T[place]:.2g})"
    )
    return Fault(case.question.name, told, place + 1)


def _in_answer(case: Case, found: Found, limits: Limits) -> Iterator[Fault]:
    """What it says token by token, beside the session, and beside its own probabilities."""
    shared = min(len(found.said), len(case.answer))
    differ = np.flatnonzero(found.said[:shared] != case.answer[:shared])
    if not len(differ):
        if len(found.said) != len(case.answer):
            ended = f"it ends after {len(found.said)} tokens, the session after {len(case.answer)}"
            if len(found.said) > shared:
                ended = f"it goes on after token {shared}, at which the session ends"
            yield Fault(case.question.name, ended, shared)
        return
    place = int(differ[0])
    token, ours = int(found.said[place]), int(case.answer[place])
    behind = float(found.best[place] - found.drawn[place])
    ahead = float(found.drawn[place] - found.answer[place])
    if not behind <= limits.own_margin:
        told = (
            f"it says token {token} where by its own log-probabilities token "
            f"{int(found.greedy[place])} leads by {behind:.3g} nats: token by token it computes "
            "otherwise than at once"
        )
        yield Fault(case.question.name, told, place + 1)
    elif limits.margin is not None and not ahead <= limits.margin:
        told = f"it says token {token}, the session {ours}, by a margin of {ahead:.3g} nats"
        yield Fault(case.question.name, told, place + 1)


def _past_the_end(pairs: Pairs, stop_tokens: Sequence[int]) -> Iterator[Fault]:
    """Of answers that differ as they may: nothing follows a stop token in them either."""
    for case, found in pairs:
        stops = np.flatnonzero(np.isin(found.said[:-1], stop_tokens))
        if len(stops):
            place = int(stops[0])
            told = f"it goes on after the stop token {int(found.said[place])}"
            yield Fault(case.question.name, told, place + 1)


def _ends(case: Case, answers: Answers, stop_tokens: Sequence[int]) -> Iterator[Fault]:
    """Every stop token is one of both."""
    if set(answers.stop_tokens) != set(stop_tokens):
        yield _other_ends(case, "", answers.stop_tokens, stop_tokens)
    yield from _own_ends(case, answers, stop_tokens)


def _own_ends(case: Case, answers: Answers, stop_tokens: Sequence[int]) -> Iterator[Fault]:
    """Of what programs other than customize read, too."""
    for file, theirs in answers.own_stops.items():
        if set(theirs) != set(stop_tokens):
            yield _other_ends(case, f"by its {file} ", theirs, stop_tokens)


def _other_ends(case: Case, by: str, theirs: Sequence[int], ours: Sequence[int]) -> Fault:
    told = f"{by}answers end at the tokens {sorted(theirs)}, the session's at {sorted(ours)}"
    return Fault(case.question.name, told)
