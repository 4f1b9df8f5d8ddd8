"""Sampling: a request read, and requests that share a batch computed together. Knows no client."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from customize import (
    Completion,
    CustomizeError,
    DataError,
    OnToken,
    Prompt,
    Sampling,
    Snapshot,
    Unsupported,
)
from customize_tinker.base import Base
from customize_tinker.body import Body
from customize_tinker.limits import Limits
from customize_tinker.outcomes import PROTOBUF, Outcome, failed
from customize_tinker.refusals import Refusal, unreadable
from customize_tinker.responses import Samples, encode_samples
from customize_tinker.scoring import Targets, alternatives, likeliest, target_logprobs

Ints = npt.NDArray[np.int32]
_MOST = 100  # tokens of a place that are told


@attrs.frozen(eq=False)
class SampleRequest:
    """Completions of one prompt.

    last_n: of the prompt's tokens that are scored; None for all. of_prompt, of_samples: how many of
    the likeliest tokens are wanted of each place; drawn: how many that are drawn.
    """

    prompt: Prompt
    sampling: Sampling
    last_n: int | None
    of_prompt: int
    of_samples: int
    drawn: int
    targets: Targets | None

    def tell(self, snapshot: Snapshot, completions: Sequence[Completion]) -> Outcome:
        """The result in the client's bytes."""
        tokens, given = self.prompt.tokens, completions[0].prompt_logprobs
        first = 1 if self.last_n is None else max(1, len(tokens) - self.last_n)
        if given is not None:
            given = given.copy()
            given[:first] = np.nan
        of_prompt, of_samples, scored, drawn = None, [], None, None
        if self.of_prompt:
            of_prompt = likeliest(snapshot, tokens, first, self.of_prompt, padding=first)
        if self.of_samples:
            whole = (np.concatenate([tokens, one.tokens]) for one in completions)
            k = self.of_samples
            of_samples = [likeliest(snapshot, one, len(tokens), k) for one in whole]
        if self.targets is not None:
            scored = target_logprobs(snapshot, tokens, self.targets)
        if self.drawn:
            heat, seed = self.sampling.temperature, self.prompt.seed
            drawn = alternatives(snapshot, tokens, self.drawn, heat, seed)
        found = Samples(completions, given, of_prompt, of_samples, scored, drawn)
        return Outcome(encode_samples(found), PROTOBUF)


@attrs.frozen(eq=False)
class AskedSample:
    """Sample ``seq`` of a sampler; or why it will fail."""

    sampler_id: str
    seq: int
    num_samples: int
    request: SampleRequest | Exception

    @property
    def id(self) -> str:
        return f"{self.sampler_id}:{self.seq}"


def read_sample(data: bytes, base: Base, limits: Limits) -> AskedSample:
    """Raises Refusal: it cannot be read, or does not say which it is."""
    body = Body.read(data)
    sampler_id, seq = body.text("sampling_session_id"), body.integer("seq_id")
    n = body.integer("num_samples", 1, at_least=1, at_most=limits.samples)
    try:
        request = _request(body, n, base, limits)
    except (Refusal, CustomizeError) as refused:
        return AskedSample(sampler_id, seq, n, refused)
    return AskedSample(sampler_id, seq, n, request)


def _request(body: Body, n: int, base: Base, limits: Limits) -> SampleRequest:
    params = body.inner("sampling_params")
    tokens = _prompt(body.raw("prompt"), limits)
    seed = params.maybe_integer("seed")
    sampling = _sampling(params, body.flag("prompt_logprobs", False), base, len(tokens))
    prompt = Prompt(tokens, n, secrets.randbits(63) if seed is None else seed)
    last_n = body.maybe_integer("prompt_logprobs_last_n", at_least=1)
    of_prompt, of_samples = (
        body.integer(f"topk_{what}_logprobs", 0, at_most=_MOST) for what in ("prompt", "sample")
    )
    drawn = body.integer("prompt_alt_tokens_k", 0, at_most=_MOST)
    targets = None
    if body.has("target_prompt_logprobs"):
        targets = Targets.read(body.inner("target_prompt_logprobs"), len(tokens))
    if body.flag("record_stability_info", False):
        raise Unsupported(
            "record_stability_info is for the loss stable_reinforce, whose form is not published: "
            "it is not here"
        )
    body.end()
    return SampleRequest(prompt, sampling, last_n, of_prompt, of_samples, drawn, targets)


def _sampling(params: Body, prompt_logprobs: bool, base: Base, num_tokens: int) -> Sampling:
    room = base.context - num_tokens
    asked = params.maybe_integer("max_tokens", at_least=1)
    if room < (asked or 1):
        raise DataError(
            f"{num_tokens} tokens of the prompt and {asked or 1} more are over the model's "
            f"{base.context}: shorten the prompt, or lower max_tokens"
        )
    texts, tokens = _stops(params.raw("stop"), base)
    top_k = params.integer("top_k", -1, at_least=-1)
    found = Sampling(
        max_tokens=room if asked is None else asked,
        temperature=params.number("temperature", 1.0),
        top_k=max(top_k, 0),
        top_p=params.number("top_p", 1.0),
        stop=texts,
        stop_tokens=tokens,
        prompt_logprobs=prompt_logprobs,
    )
    params.end()
    return found


def _stops(stop: Any, base: Base) -> tuple[tuple[str, ...] | None, tuple[int, ...] | None]:
    """Texts and tokens that end a completion: those given and no others.

    With None the model's own end it, with ``[]`` nothing does. A control token's text is no text of
    a completion, so it is looked for as the token.
    """
    if stop is None:
        return None, None
    entries = [stop] if isinstance(stop, (str, int)) else stop
    if not isinstance(entries, list) or len(entries) > 64:
        raise unreadable("stop must be a text, or a list of up to 64 texts or tokens")
    texts, tokens = list[str](), list[int]()
    for entry in entries:
        token = base.token_of(entry) if isinstance(entry, str) else entry
        if isinstance(token, int) and not isinstance(token, bool):
            tokens.append(token)
        elif isinstance(entry, str) and entry:
            texts.append(entry)
        else:
            raise unreadable(f"stop holds {entry!r}, which is neither a text nor a token")
    return tuple(texts) or None, tuple(tokens)


def _prompt(prompt: Any, limits: Limits) -> Ints:  # any JSON
    chunks = prompt.get("chunks") if isinstance(prompt, dict) else None
    if not isinstance(chunks, list) or not all(isinstance(chunk, dict) for chunk in chunks):
        raise unreadable("prompt must be {chunks: [{type: encoded_text, tokens: [...]}]}")
    tokens: list[int] = []
    for chunk in chunks:
        if (kind := chunk.get("type", "encoded_text")) != "encoded_text":
            raise Unsupported(f"the prompt holds a chunk of type {kind!r}: this server takes text")
        tokens += _tokens(chunk.get("tokens"))
    if len(tokens) > limits.tokens:
        raise DataError(f"more than {limits.tokens} tokens in one prompt")
    return np.asarray(tokens, np.int32)


def _tokens(values: Any) -> list[int]:  # any JSON
    if not isinstance(values, list):
        raise unreadable("tokens must be a list of whole numbers")
    if not all(type(value) is int and 0 <= value < 1 << 31 for value in values):
        raise unreadable("tokens must be whole numbers from 0 to 2147483647")
    return values


def sample_together(
    snapshot: Snapshot, requests: Sequence[SampleRequest], on_token: OnToken
) -> list[Outcome]:
    """One outcome a request, all of one sampling; what one of them breaks is its own failure.

    on_token: may raise what is no CustomizeError to end it.
    """
    try:
        prompts = [request.prompt for request in requests]
        completions = snapshot.sample(prompts, requests[0].sampling, on_token).result()
        pairs = zip(requests, completions, strict=True)
        return [request.tell(snapshot, drawn) for request, drawn in pairs]
    except CustomizeError as error:
        if len(requests) == 1:
            return [failed(error)]
        return [
            outcome for one in requests for outcome in sample_together(snapshot, [one], on_token)
        ]
