"""Sampling: shared prefill, batched decoding over our own cache, rows leaving as they finish.

Knows no session.

Shape legend: P prompts, R rows held, V vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from customize import Batch, Completion, DataError, OnToken, Prompt, Renderer, Sampling
from customize_torch.attention import Cache, Prefill
from customize_torch.budget import Budget, Rows
from customize_torch.decoding import decoding
from customize_torch.drawing import Drawing
from customize_torch.estimating import CACHED, ROWS
from customize_torch.policy import Policy
from customize_torch.shared_prompts import SharedPrompts, is_worth_sharing

Floats = npt.NDArray[np.float32]
_MULTIPLE = 8  # of the cache's tokens: kernels read them aligned
_MANY_ROWS, _MANY_STEPS = 8, 32  # twice as many steps as pay for adding an adapter into weights


@attrs.define(eq=False)
class _Row:
    """One completion on its way. told: how many of its tokens whoever listens has heard of."""

    prompt: int
    index: int
    tokens: list[int] = attrs.field(factory=list)
    logprobs: list[float] = attrs.field(factory=list)
    drawn: list[float] = attrs.field(factory=list)
    stopped: bool = False
    told: int = 0

    def begin_again(self) -> None:
        self.tokens, self.logprobs, self.drawn, self.stopped = [], [], [], False


def sample(
    policy: Policy,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    renderer: Renderer | None,
    budget: Budget,
    on_token: OnToken | None = None,
) -> list[list[Completion]]:
    """Completions for each prompt, ``prompt.n`` of them; see ``customize.Snapshot.sample``."""
    with policy.base.unrecorded():
        return _sampled(policy, prompts, sampling, renderer, budget, on_token)


def _sampled(
    policy: Policy,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    renderer: Renderer | None,
    budget: Budget,
    on_token: OnToken | None,
) -> list[list[Completion]]:
    for number, prompt in enumerate(prompts):
        if len(prompt.tokens) == 0:
            raise DataError(f"prompt {number} is empty: a completion needs a token to go on from")
        policy.check(prompt.tokens)
    rows = [_Row(p, j) for p, prompt in enumerate(prompts) for j in range(prompt.n)]
    ready = policy.ready(many=len(rows) >= _MANY_ROWS and sampling.max_tokens >= _MANY_STEPS)
    stops = _Stops(sampling, renderer)
    run = partial(_run, ready, prompts, sampling=sampling, stops=stops, on_token=on_token)
    _draw(run, prompts, rows, sampling.max_tokens, budget)
    # Of what was given, as training computes it: a reference is to be the policy's to the bit.
    given = [_prompt_logprobs(policy, p) if sampling.prompt_logprobs else None for p in prompts]
    out: list[list[Completion]] = [[] for _ in prompts]
    for row in rows:
        out[row.prompt].append(_finished(row, given[row.prompt]))
    return out


def _draw(
    run: Callable[[Sequence[_Row]], None],
    prompts: Sequence[Prompt],
    rows: Sequence[_Row],
    max_tokens: int,
    budget: Budget,
) -> None:
    """``run`` all rows; those that memory does not hold together anew, in halves.

    What a row draws depends on its prompt, seed and index alone.
    """
    for some in _together(prompts, rows, max_tokens, budget.tokens, budget.most):
        longest = len(prompts[some[-1].prompt].tokens) + max_tokens
        if not budget.holds(partial(run, some), Rows(len(some), longest)):
            for row in some:
                row.begin_again()
            half = -(-len(some) // 2)
            for part in (some[:half], some[half:]):
                _draw(run, prompts, part, max_tokens, budget)


def _together(
    prompts: Sequence[Prompt],
    rows: Sequence[_Row],
    max_tokens: int,
    token_budget: int,
    most: Sequence[Rows] = (),
) -> Iterator[list[_Row]]:
    """Rows to decode at once, alike in length: as many as the cache has room for, or one."""
    some: list[_Row] = []
    for row in sorted(rows, key=lambda row: len(prompts[row.prompt].tokens)):
        width = len(prompts[row.prompt].tokens) + max_tokens  # the longest so far
        found = (one.num for one in most if one.width <= width)
        if some and len(some) >= min(ROWS, CACHED * token_budget // width, *found):
            yield some
            some = []
        some.append(row)
    if some:
        yield some


def budget_of_half(prompts: Sequence[Prompt], max_tokens: int, token_budget: int) -> int | None:
    """The token budget at which half as many rows are decoded at once; None where it is one row."""
    width = max(len(prompt.tokens) for prompt in prompts) + max_tokens
    rows = min(ROWS, sum(prompt.n for prompt in prompts), CACHED * token_budget // width)
    return None if rows < 2 else -(-(rows // 2) * width // CACHED)


def _run(
    policy: Policy,
    prompts: Sequence[Prompt],
    rows: Sequence[_Row],
    sampling: Sampling,
    stops: _Stops,
    on_token: OnToken | None,
) -> None:
    asked = [row.prompt for row in rows]
    cache, lengths, logits_RV = prefill(policy, prompts, asked, sampling.max_tokens, shares=True)
    ongoing = decoding(policy, cache, lengths, sampling.max_tokens)
    keys = [(prompts[row.prompt].seed, row.index) for row in rows]
    drawing = Drawing(keys, sampling, logits_RV.device)
    held = list(rows)
    for step in range(sampling.max_tokens):
        is_last = step + 1 == sampling.max_tokens
        drawn_3R = drawing.draw(logits_RV, step)
        tokens_R = drawn_3R[0].long()
        arriving = ongoing.read(drawn_3R)
        if ongoing.runs_ahead and not is_last:
            logits_RV = ongoing.step(tokens_R)
        _record(held, arriving(), stops, on_token)
        going = [i for i, row in enumerate(held) if not row.stopped]
        if not going or is_last:
            return
        if ongoing.worth_dropping(len(going), len(held)):
            kept_R = torch.tensor(going, device=logits_RV.device)
            ongoing.keep(kept_R)
            drawing.keep(kept_R)
            held = [held[i] for i in going]
            tokens_R, logits_RV = tokens_R[kept_R], logits_RV[kept_R]
        if not ongoing.runs_ahead:
            logits_RV = ongoing.step(tokens_R)


def _record(
    rows: Sequence[_Row], drawn: list[list[float]], stops: _Stops, on_token: OnToken | None
) -> None:
    for row, token, logprob, drawn_from in zip(rows, *drawn, strict=True):
        if row.stopped:
            continue
        row.tokens.append(int(token))
        row.logprobs.append(logprob)
        row.drawn.append(drawn_from)
        row.stopped = stops.reached(row.tokens)
        if on_token is not None and len(row.tokens) > row.told:
            row.told += 1
            on_token(row.prompt, row.index, row.tokens[-1])


def prefill(
    policy: Policy,
    prompts: Sequence[Prompt],
    asked: Sequence[int],
    max_tokens: int,
    shares: bool = False,
) -> tuple[Cache, list[int], Tensor]:
    """A cache with a row for each number of a prompt in ``asked``, what each row holds, and the
    first logits [R, V]. shares: whether no row comes later, so that a prompt may be held once.
    """
    # Equal prompts with other seeds, as the episodes of a group have, are computed once.
    keys = [prompts[number].tokens.tobytes() for number in asked]
    first: dict[bytes, int] = {}
    for key, number in zip(keys, asked, strict=True):
        first.setdefault(key, number)
    nth = {key: i for i, key in enumerate(first)}
    numbers = list(first.values())
    lengths = [len(prompts[number].tokens) for number in numbers]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).tolist()
    flat = np.concatenate([prompts[number].tokens for number in numbers]).astype(np.int64)
    positions = np.concatenate([np.arange(length) for length in lengths])
    place = policy.base.place
    plan = Prefill(offsets, place.varlen)
    tokens_N, positions_N = (torch.from_numpy(x).to(place.device) for x in (flat, positions))
    ends_P = torch.tensor(offsets[1:], device=place.device) - 1
    hidden_PC = policy.hidden(tokens_N, positions_N, plan, ends_P)
    logits_PV = policy.logits(hidden_PC)
    owners = [nth[key] for key in keys]
    bounds = list(itertools.pairwise(offsets))
    if shares and is_worth_sharing(owners, place.device, place.dtype):
        cache: Cache = SharedPrompts(plan, bounds, owners, _rounded(max_tokens))
    else:
        cache = Cache.from_prefill(plan, bounds, owners, _rounded(max(lengths) + max_tokens))
    return cache, [lengths[o] for o in owners], logits_PV[owners]


def _rounded(room: int) -> int:
    return room + -room % _MULTIPLE


class _Stops:
    """Says whether a completion is at its end."""

    def __init__(self, sampling: Sampling, renderer: Renderer | None) -> None:
        given = sampling.stop_tokens
        known = renderer.stop_tokens if renderer is not None else ()
        self._tokens = frozenset(known if given is None else given)
        self._texts = sampling.stop or ()
        self._renderer = renderer
        if self._texts and renderer is None:
            raise DataError("stop texts need a model with a tokenizer: use stop_tokens")

    def reached(self, tokens: Sequence[int]) -> bool:
        if tokens[-1] in self._tokens:
            return True
        if not self._texts or self._renderer is None:
            return False
        text = self._renderer.decode(np.asarray(tokens, np.int32))
        return any(stop in text for stop in self._texts)


def _finished(row: _Row, prompt_logprobs: Floats | None) -> Completion:
    return Completion(
        np.asarray(row.tokens, np.int32),
        np.asarray(row.logprobs, np.float32),
        np.asarray(row.drawn, np.float32),
        "stop" if row.stopped else "length",
        prompt_logprobs,
    )


def _prompt_logprobs(policy: Policy, prompt: Prompt) -> Floats:
    weights = np.ones(len(prompt.tokens), np.float32)
    batch = Batch.from_sequences([(prompt.tokens, {"weights": weights})])
    out = np.zeros(len(weights), np.float32)
    out[1:] = policy.logprobs(batch).cpu().numpy()
    return out
