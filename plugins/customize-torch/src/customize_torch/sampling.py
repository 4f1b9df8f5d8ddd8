"""Sampling: shared prefill, batched decoding over our own cache, rows leaving as they finish.

Knows no session. Completion j of a prompt draws its token t from a counter-based generator keyed
(seed, j, t), so order and batch size change nothing but what rounding does.

Shape legend: P prompts, R live rows, V vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from customize import Batch, Completion, DataError, OnToken, Prompt, Renderer, Sampling
from customize_torch.attention import Cache, Decode, Prefill
from customize_torch.policy import Policy

Floats = npt.NDArray[np.float32]
# A token that waits in the cache takes about a sixteenth of what its activations take in training,
# so sampling fits where training does. The rows are bounded for their logits over the vocabulary.
_CACHED, _ROWS = 16, 128


@attrs.define(eq=False)
class _Row:
    """One completion on its way."""

    prompt: int
    index: int
    seed: int
    tokens: list[int] = attrs.field(factory=list)
    logprobs: list[float] = attrs.field(factory=list)
    drawn: list[float] = attrs.field(factory=list)
    stopped: bool = False


@torch.inference_mode()
def sample(
    policy: Policy,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    renderer: Renderer | None,
    token_budget: int,
    on_token: OnToken | None = None,
) -> list[list[Completion]]:
    """Completions for each prompt, ``prompt.n`` of them; see ``customize.Snapshot.sample``."""
    for number, prompt in enumerate(prompts):
        if len(prompt.tokens) == 0:
            raise DataError(f"prompt {number} is empty: a completion needs a token to go on from")
        policy.check(prompt.tokens)
    rows = [_Row(p, j, prompt.seed) for p, prompt in enumerate(prompts) for j in range(prompt.n)]
    stops = _Stops(sampling, renderer)
    for some in _together(prompts, rows, sampling.max_tokens, token_budget):
        _run(policy, prompts, some, sampling, stops, on_token)
    given = [_prompt_logprobs(policy, p) if sampling.prompt_logprobs else None for p in prompts]
    out: list[list[Completion]] = [[] for _ in prompts]
    for row in rows:
        out[row.prompt].append(_finished(row, given[row.prompt]))
    return out


def _together(
    prompts: Sequence[Prompt], rows: Sequence[_Row], max_tokens: int, token_budget: int
) -> Iterator[list[_Row]]:
    """Rows to decode at once, alike in length: as many as the cache has room for, or one."""
    some: list[_Row] = []
    for row in sorted(rows, key=lambda row: len(prompts[row.prompt].tokens)):
        width = len(prompts[row.prompt].tokens) + max_tokens  # the longest so far
        if some and (len(some) == _ROWS or (len(some) + 1) * width > _CACHED * token_budget):
            yield some
            some = []
        some.append(row)
    if some:
        yield some


def _run(
    policy: Policy,
    prompts: Sequence[Prompt],
    rows: Sequence[_Row],
    sampling: Sampling,
    stops: _Stops,
    on_token: OnToken | None,
) -> None:
    cache, lengths_R, logits_RV = _prefill(policy, prompts, rows, sampling.max_tokens)
    live = list(rows)
    for step in range(sampling.max_tokens):
        _draw(live, logits_RV, sampling, step)
        for row in live:
            row.stopped = stops.reached(row.tokens)
            if on_token is not None:
                on_token(row.prompt, row.index, row.tokens[-1])
        going = [i for i, row in enumerate(live) if not row.stopped]
        if not going or step + 1 == sampling.max_tokens:
            return
        if len(going) < len(live):
            kept_R = torch.tensor(going)
            cache.keep(kept_R)
            lengths_R, live = lengths_R[kept_R], [live[i] for i in going]
        tokens_R = torch.tensor([row.tokens[-1] for row in live])
        hidden_RC = policy.hidden(tokens_R, lengths_R, Decode(cache, lengths_R))
        logits_RV = (hidden_RC @ policy.head_VC.T).float()
        lengths_R = lengths_R + 1


def _prefill(
    policy: Policy, prompts: Sequence[Prompt], rows: Sequence[_Row], max_tokens: int
) -> tuple[Cache, Tensor, Tensor]:
    """The cache with a row for each completion, lengths [R], and the first logits [R, V]."""
    numbers = sorted({row.prompt for row in rows})
    place = {number: i for i, number in enumerate(numbers)}
    lengths = [len(prompts[number].tokens) for number in numbers]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).tolist()
    flat = np.concatenate([prompts[number].tokens for number in numbers]).astype(np.int64)
    positions = np.concatenate([np.arange(length) for length in lengths])
    plan = Prefill(offsets)
    hidden_NC = policy.hidden(torch.from_numpy(flat), torch.from_numpy(positions), plan)
    ends_P = torch.tensor(offsets[1:]) - 1
    logits_PV = (hidden_NC[ends_P] @ policy.head_VC.T).float()
    owners = [place[row.prompt] for row in rows]
    bounds = list(itertools.pairwise(offsets))
    cache = Cache.from_prefill(plan, bounds, owners, max(lengths) + max_tokens)
    return cache, torch.tensor([lengths[o] for o in owners]), logits_PV[owners]


def _draw(rows: Sequence[_Row], logits_RV: Tensor, sampling: Sampling, step: int) -> None:
    plain_RV = torch.log_softmax(logits_RV, dim=-1)
    if sampling.temperature == 0:
        chosen_R = plain_RV.argmax(dim=-1)
        drawn_R = torch.zeros(len(rows))
    else:
        shaped_RV = _shape(logits_RV, sampling)
        uniform_R = torch.tensor([_uniform(row.seed, row.index, step) for row in rows])
        mass_RV = shaped_RV.double().exp().cumsum(dim=-1)
        wanted_R1 = (uniform_R.double() * mass_RV[:, -1])[:, None]
        chosen_R = torch.searchsorted(mass_RV, wanted_R1, right=True)[:, 0]
        chosen_R = chosen_R.clamp(max=mass_RV.shape[1] - 1)
        drawn_R = shaped_RV.gather(1, chosen_R[:, None])[:, 0]
    chosen_logprobs_R = plain_RV.gather(1, chosen_R[:, None])[:, 0]
    columns = (chosen_R.tolist(), chosen_logprobs_R.tolist(), drawn_R.tolist())
    for row, token, logprob, drawn in zip(rows, *columns, strict=True):
        row.tokens.append(token)
        row.logprobs.append(logprob)
        row.drawn.append(drawn)


def _shape(logits_RV: Tensor, sampling: Sampling) -> Tensor:
    """Log-probabilities after temperature, top-k and top-p, in that order."""
    shaped_RV = torch.log_softmax(logits_RV / sampling.temperature, dim=-1)
    if not sampling.top_k and sampling.top_p >= 1:
        return shaped_RV
    ordered_RV, order_RV = shaped_RV.sort(dim=-1, descending=True, stable=True)
    cut_RV = torch.zeros_like(ordered_RV, dtype=torch.bool)
    if sampling.top_k:
        cut_RV[:, sampling.top_k :] = True
    if sampling.top_p < 1:
        before_RV = ordered_RV.exp().cumsum(dim=-1) - ordered_RV.exp()
        cut_RV |= before_RV >= sampling.top_p
    ordered_RV = ordered_RV.masked_fill(cut_RV, -torch.inf)
    return torch.log_softmax(torch.empty_like(shaped_RV).scatter_(1, order_RV, ordered_RV), dim=-1)


def _uniform(seed: int, index: int, step: int) -> float:
    key = np.array([seed % 2**64, index], np.uint64)
    counter = np.array([step, 0, 0, 0], np.uint64)
    return float(np.random.Generator(np.random.Philox(key=key, counter=counter)).random())


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
    out[1:] = policy.logprobs(batch).numpy()
    return out
