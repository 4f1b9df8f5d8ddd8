"""Rules about sampling."""

from __future__ import annotations

import itertools

import attrs
import numpy as np
import numpy.typing as npt

from customize._batch import Batch, Floats
from customize.interfaces.sampling import Completion, Prompt, Sampling
from customize.interfaces.session import Snapshot
from customize.testing.backend_rules.subject import BackendSubject
from customize.testing.expecting import expect, expect_close, expect_equal
from customize.testing.options import changed
from customize.testing.rules import NotApplicable, needs

_FREE = Sampling(max_tokens=8, stop_tokens=())
_LARGEST = 4096
_DRAWS = 400
# A right sampler is off by more in one of a million tries.
_DEVIATIONS = 5.0


def _prompts(subject: BackendSubject, n: int = 1) -> list[Prompt]:
    batch = subject.batch(lengths=(4, 9, 2), seed=21)
    parts = [batch.take([s]).tokens for s in range(batch.num_sequences)]
    return [Prompt(tokens, n=n, seed=50 + i) for i, tokens in enumerate(parts)]


def _forwards(snapshot: Snapshot, tokens: npt.NDArray[np.int32]) -> Floats:
    batch = Batch.from_sequences([(tokens, {"weights": np.ones(len(tokens))})])
    return snapshot.forward(batch).result()


@needs("sample")
def check_completions_have_forwards_logprobs(subject: BackendSubject) -> None:
    """``logprobs`` of a completion, and ``prompt_logprobs``, are those of ``forward``: at
    temperature 1, nothing cut off, however it was drawn.
    """
    session = subject.open()
    sampling = changed(_FREE, temperature=0.7, top_k=20, prompt_logprobs=True)
    prompts = _prompts(subject, n=2)
    for prompt, completions in zip(
        prompts, session.sample(prompts, sampling).result(), strict=True
    ):
        for completion in completions:
            start = len(prompt.tokens)
            wanted = _forwards(session, np.concatenate([prompt.tokens, completion.tokens]))
            within = subject.tolerance.logprobs
            expect_close(completion.logprobs, wanted[start:], within, "logprobs")
            given = completion.prompt_logprobs
            expect(given is not None, "prompt_logprobs were asked for, and are None")
            expect_close(given, wanted[:start], within, "prompt_logprobs")


@needs("sample")
def check_draws_follow_sampling_logprobs(subject: BackendSubject) -> None:
    """Tokens are drawn with the probabilities that ``sampling_logprobs`` say: those of
    ``forward`` after temperature, top-k and top-p, in that order.
    """
    if subject.vocabulary > _LARGEST:
        raise NotApplicable(f"more than {_LARGEST} tokens: pass a smaller model")
    base, prompt = subject.engine.base(), _prompts(subject)[0]
    for sampling in (Sampling(max_tokens=1, temperature=1.3, stop_tokens=()), _cut()):
        plain_V = _next(subject, base, prompt)
        wanted_V = _shaped(plain_V, sampling)
        asked = attrs.evolve(prompt, n=_DRAWS)
        [drawn] = base.sample([asked], sampling).result()
        tokens = np.array([completion.tokens[0] for completion in drawn])
        said = np.array([completion.sampling_logprobs[0] for completion in drawn])
        told = f"temperature {sampling.temperature}, top_k {sampling.top_k}"
        within = 2 * subject.tolerance.logprobs
        kept = np.isfinite(wanted_V[tokens])
        # Rounding may put another token on the right side of the cut.
        least = float(plain_V[np.isfinite(wanted_V)].min()) - within
        expect(bool((plain_V[tokens] >= least).all()), f"{told}: a token that was cut off")
        expect_close(said[kept], wanted_V[tokens[kept]], within, f"{told}: sampling_logprobs")
        _expect_drawn(tokens, np.exp(wanted_V), told)


def _cut() -> Sampling:
    return Sampling(max_tokens=1, temperature=0.8, top_k=12, top_p=0.9, stop_tokens=())


def _next(subject: BackendSubject, snapshot: Snapshot, prompt: Prompt) -> npt.NDArray[np.float64]:
    """Log-probabilities of every token that may come next, by ``forward``."""
    weights = np.zeros(len(prompt.tokens) + 1)
    weights[-1] = 1.0
    every = [
        (np.append(prompt.tokens, token), {"weights": weights})
        for token in range(subject.vocabulary)
    ]
    batch = Batch.from_sequences(every)
    return snapshot.forward(batch).result()[batch.scored].astype(np.float64)


def _shaped(logprobs_V: npt.NDArray[np.float64], sampling: Sampling) -> npt.NDArray[np.float64]:
    """What tokens should be drawn from, by a plain loop; cut tokens are -inf."""
    shaped = logprobs_V / sampling.temperature
    probabilities = np.exp(shaped - shaped.max())
    probabilities /= probabilities.sum()
    kept: list[int] = []
    for token in np.argsort(-probabilities, kind="stable"):
        full = sampling.top_k and len(kept) == sampling.top_k
        if full or probabilities[kept].sum() >= sampling.top_p:
            break
        kept.append(int(token))
    out = np.full(len(shaped), -np.inf)
    out[kept] = np.log(probabilities[kept] / probabilities[kept].sum())
    return out


def _expect_drawn(
    tokens: npt.NDArray[np.int32], probabilities_V: npt.NDArray[np.float64], told: str
) -> None:
    """Each likely token is drawn about as often as its probability says."""
    for token in np.argsort(-probabilities_V)[:8]:
        p = float(probabilities_V[token])
        share = float(np.mean(tokens == token))
        spread = float(np.sqrt(max(p * (1 - p), 1e-9) / len(tokens)))
        away = abs(share - p) / spread
        expect(
            away <= _DEVIATIONS,
            f"{told}: token {token} is {share:.3f} of the draws, where {p:.3f} is due",
        )


@needs("sample")
def check_temperature_zero_is_greedy(subject: BackendSubject) -> None:
    """At temperature 0 the likeliest token is taken each time, with a ``sampling_logprobs`` of 0.

    Where two are alike up to rounding, either may be.
    """
    if subject.vocabulary > _LARGEST:
        raise NotApplicable(f"more than {_LARGEST} tokens: pass a smaller model")
    base, prompt = subject.engine.base(), _prompts(subject)[1]
    [[said]] = base.sample([prompt], changed(_FREE, temperature=0.0)).result()
    expect(not said.sampling_logprobs.any(), "sampling_logprobs are not 0")
    tokens = prompt.tokens
    for token in said.tokens:
        every_V = _next(subject, base, Prompt(tokens))
        behind = float(every_V.max() - every_V[token])
        expect(
            behind <= subject.tolerance.logprobs,
            f"token {token} is {behind:.3g} nats behind {int(every_V.argmax())}",
        )
        tokens = np.append(tokens, token)


@needs("sample")
def check_completions_of_a_prompt_differ(subject: BackendSubject) -> None:
    """A prompt gets a list of ``n`` completions, drawn apart from each other."""
    prompts = _prompts(subject, n=6)
    found = subject.open().sample(prompts, _FREE).result()
    counts = [len(completions) for completions in found]
    expect(counts == [6, 6, 6], f"{counts} completions, where [6, 6, 6] are due")
    for completions in found:
        different = {tuple(completion.tokens.tolist()) for completion in completions}
        expect(len(different) > 3, f"only {len(different)} of 6 completions differ")


@needs("sample")
def check_draws_do_not_see_each_other(subject: BackendSubject) -> None:
    """Completion j at position t draws by (seed, j, t) alone: neither the order of prompts, nor
    other prompts, nor n change it; rounding may, where less than float32 is computed in.
    """
    session = subject.open()
    prompts = _prompts(subject, n=3)
    together = session.sample(prompts, _FREE).result()
    turned = session.sample(prompts[::-1], _FREE).result()[::-1]
    alone = [session.sample([prompt], _FREE).result()[0] for prompt in prompts]
    fewer = [session.sample([attrs.evolve(p, n=1)], _FREE).result()[0] for p in prompts]
    for told, others in (("turned", turned), ("alone", alone), ("n=1", fewer)):
        pairs = [
            (a, b)
            for ours, theirs in zip(together, others, strict=True)
            for a, b in zip(ours, theirs, strict=False)
        ]
        same = float(np.mean([_same_start(subject, a, b) for a, b in pairs]))
        wanted = 1.0 if subject.engine.dtype in ("float32", "float64") else 0.7
        expect(same >= wanted, f"{told}: {same:.0%} of the completions are the same")


def _same_start(subject: BackendSubject, one: Completion, other: Completion) -> bool:
    exact = subject.engine.dtype in ("float32", "float64")
    length = None if exact else 1
    return bool(np.array_equal(one.tokens[:length], other.tokens[:length]))


@needs("sample")
def check_stops_end_a_completion(subject: BackendSubject) -> None:
    """A stop token, or a text of ``stop``, ends a completion and is its last part, with the
    reason ``stop``; else it has ``max_tokens``, with the reason ``length``.
    """
    base, prompt = subject.engine.base(), _prompts(subject)[0]
    greedy = changed(_FREE, temperature=0.0)
    [[free]] = base.sample([prompt], greedy).result()
    expect(len(free.tokens) == 8, f"{len(free.tokens)} tokens of 8")
    expect(free.stop_reason == "length", f"ends with the reason {free.stop_reason!r}")
    last = int(free.tokens[4])
    where = free.tokens.tolist().index(last)
    [[stopped]] = base.sample([prompt], changed(greedy, stop_tokens=(last,))).result()
    expect_equal(stopped.tokens, free.tokens[: where + 1], "up to the stop token")
    expect(stopped.stop_reason == "stop", f"a stop token ends with {stopped.stop_reason!r}")
    text = _text_of(base, free)
    [[spelled]] = base.sample([prompt], changed(greedy, stop=(text,))).result()
    expect(spelled.stop_reason == "stop", f"the text {text!r} ends with {spelled.stop_reason!r}")
    shorter = base.renderer.decode(spelled.tokens[:-1])
    expect(text not in shorter, f"goes on after the text {text!r}")


def _text_of(snapshot: Snapshot, completion: Completion) -> str:
    """The first readable text that the completion's own tokens spell."""
    for place in range(len(completion.tokens)):
        text = snapshot.renderer.decode(completion.tokens[place : place + 1])
        if text.strip() and "\N{REPLACEMENT CHARACTER}" not in text:
            return text
    raise NotApplicable("the model says nothing that can be read: pass another model")


@needs("sample")
def check_tokens_are_told_as_drawn(subject: BackendSubject) -> None:
    """``on_token`` is called with (prompt, completion, token) for every token, in order."""
    told: dict[tuple[int, int], list[int]] = {}
    found = subject.open().sample(
        _prompts(subject, n=2),
        _FREE,
        lambda i, j, token: told.setdefault((i, j), []).append(int(token)),
    )
    completions = found.result()
    for i, j in itertools.product(range(len(completions)), range(2)):
        tokens = completions[i][j].tokens.tolist()
        expect(told.get((i, j)) == tokens, f"prompt {i}, completion {j}: told {told.get((i, j))}")
