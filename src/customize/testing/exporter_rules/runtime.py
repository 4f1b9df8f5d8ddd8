"""Rules about a runtime: what loads a package and answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np

from customize._batch import Ints
from customize._errors import DataError, OptionError, Unsupported
from customize.interfaces.runtime import Query, Said
from customize.interfaces.sampling import Sampling
from customize.testing.expecting import expect, expect_close, expect_raises
from customize.testing.exporter_rules.subject import ExporterSubject
from customize.testing.rules import NotApplicable, RuleBroken

# Nats by which a token that is said may be behind the likeliest, and its log-probability away from
# that which is told of it: decoding rounds otherwise than reading does.
_ROUNDING = 0.05
_WAIT_S = 60.0
_FITTING = [json.dumps({"day": day, "open": yes}) for day in (1, 2) for yes in (True, False)]
_SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"day": {"enum": [1, 2]}, "open": {"type": "boolean"}},
        "required": ["day", "open"],
        "additionalProperties": False,
    }
)


def check_runtime_gives_probabilities(subject: ExporterSubject) -> None:
    """``logprobs`` gives float32 [T - start, V], and the probabilities at each place sum to 1."""
    tokens = _both(subject, 0)
    found_TV = subject.runtime.logprobs(tokens, 3, subject.adapter)
    expect(found_TV.dtype == np.float32, f"of type {found_TV.dtype}, not float32")
    expect(len(found_TV) == len(tokens) - 3, f"{len(found_TV)} places, not {len(tokens) - 3}")
    total_T = np.exp(found_TV.astype(np.float64)).sum(axis=1)
    expect_close(total_T, np.ones(len(total_T)), 1e-3, "the sums")


def check_runtime_says_what_is_likeliest(subject: ExporterSubject) -> None:
    """At temperature 0 each token of the stream is the likeliest by ``logprobs``, the
    log-probability that is told with it is that one, and ``top`` has as many as were asked for,
    likeliest first.
    """
    prompt = subject.cases[0].prompt
    said = _said(subject, prompt, max_tokens=6, top_logprobs=3, stop_tokens=())
    tokens = np.asarray([one.token for one in said], np.int32)
    both = np.concatenate([prompt, tokens])
    full_TV = subject.runtime.logprobs(both, len(prompt), subject.adapter)
    own_T = full_TV[np.arange(len(tokens)), tokens]
    expect_close(own_T, full_TV.max(axis=1), _ROUNDING, "the likeliest beside what is said")
    expect_close([one.logprob for one in said], own_T, _ROUNDING, "what is told of the tokens")
    for one in said:
        tops = [logprob for _, logprob in one.top]
        expect(len(tops) == 3, f"{len(tops)} of the 3 likeliest were told")
        expect(tops == sorted(tops, reverse=True), f"top is not in order: {tops}")
        expect_close(tops[0], one.logprob, _ROUNDING, "the first of top")


def check_runtime_draws_by_seed(subject: ExporterSubject) -> None:
    """At temperature 1 a query gives the same answer again, alone or while others are under way;
    another seed, or another index, gives another.
    """
    prompt = subject.cases[0].prompt

    def drawn(seed: int, index: int = 0) -> list[int]:
        sampling = Sampling(max_tokens=8, temperature=1.0, stop_tokens=())
        query = Query(prompt, sampling, seed, index, subject.adapter)
        return [one.token for one in subject.runtime.stream(query)]

    alone = drawn(1)
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(drawn, (1, 2, 3)))
    expect(together[0] == alone, f"beside others it says {together[0]}, and alone {alone}")
    expect(alone not in together[1:], "another seed says the same")
    expect(drawn(1, index=1) != alone, "another index says the same")


def check_runtime_ends_where_it_should(subject: ExporterSubject) -> None:
    """An answer ends after its stop token, which is told, or after ``max_tokens``; and, where a
    query names none, after one of the model's own.
    """
    prompt = subject.cases[0].prompt
    free = [one.token for one in _said(subject, prompt, max_tokens=6, stop_tokens=())]
    expect(len(free) == 6, f"{len(free)} tokens of 6")
    own = subject.engine.renderer.stop_tokens  # who ends there whatever is asked would look right
    stop = next((token for token in free[2:] if token not in own), free[2])
    ended = [one.token for one in _said(subject, prompt, max_tokens=6, stop_tokens=(stop,))]
    wanted = free[: free.index(stop) + 1]
    expect(ended == wanted, f"where {stop} ends it, it says {ended}, not {wanted}")
    for case in subject.cases:
        if case.stopped:
            most = len(case.answer) + 4
            said = [one.token for one in _said(subject, case.given, max_tokens=most)]
            first = next((n for n, token in enumerate(said, 1) if token in own), most)
            expect(len(said) <= first, f"after its own stop token it says {said[first:]}")


def check_runtime_refuses_what_it_cannot_answer(subject: ExporterSubject) -> None:
    """A name that no adapter has is an OptionError; an empty prompt, and one that leaves no room
    for an answer, are a DataError; and an answer ends where the context does.
    """
    context, adapter = subject.runtime.context, subject.adapter

    def asked(tokens: Sequence[int], name: str | None) -> Callable[[], object]:
        return lambda: list(subject.runtime.stream(Query(tokens, adapter=name)))

    expect_raises(OptionError, asked([5], "no-such-one"), "an unknown adapter", "no-such-one")
    expect_raises(DataError, asked([], adapter), "an empty prompt")
    expect_raises(DataError, asked([5] * context, adapter), "a prompt as long as the context")
    sampling = Sampling(max_tokens=8, temperature=0.0, stop_tokens=())
    last = list(subject.runtime.stream(Query([5] * (context - 2), sampling, adapter=adapter)))
    expect(len(last) == 2, f"{len(last)} tokens where the context has room for 2")


def check_runtime_frees_what_is_left(subject: ExporterSubject) -> None:
    """A stream that is closed, or whose ``cancelled`` is set, makes room for the next query."""
    prompt = subject.cases[0].prompt
    sampling = Sampling(max_tokens=64, temperature=0.0, stop_tokens=())
    query = Query(prompt, sampling, adapter=subject.adapter)
    for _ in range(subject.runtime.slots + 1):
        closed = subject.runtime.stream(query)
        next(closed)
        closed.close()  # type: ignore[attr-defined]  # every generator has it
        cancelled = threading.Event()
        stream = subject.runtime.stream(query, cancelled)
        next(stream)
        cancelled.set()
        rest = len(list(stream))
        expect(rest < 63, "after it was cancelled it goes on to the end")
    answer: list[Said] = []
    asking = threading.Thread(
        target=lambda: answer.extend(_said(subject, prompt, max_tokens=1)), daemon=True
    )
    asking.start()
    asking.join(_WAIT_S)
    if not answer:
        raise RuleBroken("after streams were closed and cancelled nobody is answered")


def check_runtime_holds_to_a_schema(subject: ExporterSubject) -> None:
    """Where ``fits_schemas`` says so an answer fits the query's ``schema``, however it is drawn;
    where not, a query with one is refused with Unsupported.
    """
    prompt, renderer = subject.cases[0].prompt, subject.runtime.renderer

    def asked(seed: int, temperature: float = 1.0) -> list[int]:
        sampling = Sampling(max_tokens=40, temperature=temperature)
        query = Query(prompt, sampling, seed, adapter=subject.adapter, schema=_SCHEMA)
        return [one.token for one in subject.runtime.stream(query)]

    if not subject.runtime.fits_schemas:
        expect_raises(Unsupported, lambda: asked(0), "a schema that is not heeded")
        return
    if find_spec("llguidance") is None:
        raise NotApplicable("answers are held to schemas by llguidance, which is not installed")
    for tokens in (asked(0, temperature=0.0), *(asked(seed) for seed in range(3))):
        text = renderer.decode(np.asarray(tokens, np.int32))
        expect(text in _FITTING, f"it says {text!r}, which is none of {_FITTING}")


def check_runtime_without_an_adapter_is_the_base(subject: ExporterSubject) -> None:
    """Asked for no adapter, a package that holds one apart answers as its base."""
    if not subject.runtime.adapters:
        raise NotApplicable("its weights are whole or merged")
    for case in subject.cases[:3]:
        both = np.concatenate([case.given, case.answer])
        full_TV = subject.runtime.logprobs(both, len(case.given), None)
        found_T = full_TV[np.arange(len(case.answer)), case.answer]
        away = float(np.abs(found_T - case.base).mean())
        apart = float(np.abs(case.said - case.base).mean())
        expect(away < apart / 2, f"{away:.3g} nats a token from the base, which is {apart:.3g}")


def _both(subject: ExporterSubject, number: int) -> Ints:
    case = subject.cases[number]
    return np.concatenate([case.prompt, case.answer])


def _said(
    subject: ExporterSubject,
    prompt: Ints,
    max_tokens: int,
    top_logprobs: int = 0,
    stop_tokens: Sequence[int] | None = None,
) -> list[Said]:
    stops = None if stop_tokens is None else tuple(stop_tokens)
    sampling = Sampling(max_tokens=max_tokens, temperature=0.0, stop_tokens=stops)
    query = Query(prompt, sampling, adapter=subject.adapter, top_logprobs=top_logprobs)
    return list(subject.runtime.stream(query))
