"""Completions against transformers' generate, against each other, and against forward."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from customize import (
    AdamW,
    Batch,
    Completion,
    CrossEntropy,
    Engine,
    LoRA,
    ModelFolder,
    Prompt,
    Sampling,
    Session,
)
from customize_torch import drawing
from customize_torch.backend import CPU
from customize_torch.decoding import Decoding
from customize_torch.drawing import Drawing, _where_passed
from customize_torch.policy import Policy
from customize_torch.sampling import _Row, _together

GREEDY = Sampling(max_tokens=12, temperature=0.0, stop_tokens=())


@pytest.fixture
def session(engine: Engine, batch: Batch) -> Session:
    made = engine.open(LoRA(rank=4), seed=1)
    made.forward_backward(batch, CrossEntropy())
    made.optim_step(AdamW(lr=1e-2)).result()
    return made


def prompts(n: int = 1) -> list[Prompt]:
    rng = np.random.default_rng(3)
    return [
        Prompt(rng.integers(0, 250, length), n=n, seed=length) for length in (4, 19, 1, 33, 8, 8)
    ]


def test_greedy_equals_transformers_generate(engine: Engine, plain: LlamaForCausalLM) -> None:
    found = engine.base().sample(prompts(), GREEDY).result()
    for prompt, (completion,) in zip(prompts(), found, strict=True):
        tokens = torch.from_numpy(prompt.tokens.astype(np.int64))[None]
        wanted = plain.generate(tokens, max_new_tokens=12, do_sample=False, eos_token_id=-1)
        assert completion.tokens.tolist() == wanted[0, len(prompt.tokens) :].tolist()
        assert completion.stop_reason == "length"


@pytest.mark.parametrize(
    "sampling",
    [
        GREEDY,
        Sampling(max_tokens=20, temperature=0.8, stop_tokens=tuple(range(0, 260, 9))),
        Sampling(max_tokens=12, top_k=20, top_p=0.9, stop_tokens=()),
    ],
    ids=["greedy", "leaving", "cut"],
)
def test_many_at_once_equal_one_at_a_time(session: Session, sampling: Sampling) -> None:
    many = session.sample(prompts(n=8), sampling).result()
    reversed_ = session.sample(prompts(n=8)[::-1], sampling).result()[::-1]
    alone = [session.sample([prompt], sampling).result()[0] for prompt in prompts(n=8)]
    single = [session.sample([prompt], sampling).result()[0] for prompt in prompts(n=1)]
    for i, completions in enumerate(many):
        assert len(completions) == 8
        for a, b, c in zip(completions, reversed_[i], alone[i], strict=True):
            assert a.tokens.tolist() == b.tokens.tolist() == c.tokens.tolist()
        assert single[i][0].tokens.tolist() == completions[0].tokens.tolist()


def test_first_tokens_follow_the_distribution_they_were_drawn_from(
    engine: Engine, plain: LlamaForCausalLM
) -> None:
    prompt = prompts()[0]
    sampling = Sampling(max_tokens=1, temperature=0.5, top_k=5, top_p=0.95, stop_tokens=())
    drawn = engine.base().sample([Prompt(prompt.tokens, n=2000, seed=5)], sampling).result()[0]
    with torch.no_grad():
        tokens = torch.from_numpy(prompt.tokens.astype(np.int64))
        scaled = plain(tokens[None]).logits[0, -1].double().numpy() / 0.5
    probabilities = np.exp(scaled - scaled.max())
    probabilities /= probabilities.sum()
    order = np.argsort(-probabilities)
    before = np.cumsum(probabilities[order]) - probabilities[order]
    kept = order[(before < 0.95) & (np.arange(len(order)) < 5)]
    wanted = probabilities[kept] / probabilities[kept].sum()
    first = np.array([completion.tokens[0] for completion in drawn])
    assert set(first) <= set(kept.tolist())
    for token, share in zip(kept, wanted, strict=True):
        deviation = np.sqrt(share * (1 - share) / len(first))
        assert abs(np.mean(first == token) - share) < 4 * deviation + 1e-9
    said = {int(c.tokens[0]): float(c.sampling_logprobs[0]) for c in drawn}
    for token, share in zip(kept, wanted, strict=True):
        if int(token) in said:
            assert said[int(token)] == pytest.approx(np.log(share), abs=1e-4)


def test_stop_tokens_and_texts_end_a_completion(engine: Engine) -> None:
    base, prompt = engine.base(), prompts()[1]
    free = base.sample([prompt], GREEDY).result()[0][0]
    token = int(free.tokens[5])
    where = free.tokens.tolist().index(token)
    stopped = Sampling(max_tokens=12, temperature=0.0, stop_tokens=(token,))
    ended = base.sample([prompt], stopped).result()[0][0]
    assert ended.tokens.tolist() == free.tokens[: where + 1].tolist()
    assert ended.stop_reason == "stop"
    text = base.renderer.decode(free.tokens[:3])
    spelled = Sampling(max_tokens=12, temperature=0.0, stop_tokens=(), stop=(text,))
    ended = base.sample([prompt], spelled).result()[0][0]
    assert ended.stop_reason == "stop"
    assert text in base.renderer.decode(ended.tokens)
    assert text not in base.renderer.decode(ended.tokens[:-1])


def test_rows_decoded_at_once_fit_the_budget_and_are_alike() -> None:
    asked = prompts(n=40)
    rows = [_Row(p, j) for p, prompt in enumerate(asked) for j in range(prompt.n)]
    groups = list(_together(asked, rows, max_tokens=15, token_budget=64))
    widths = [[len(asked[row.prompt].tokens) + 15 for row in group] for group in groups]
    assert sorted((r.prompt, r.index) for g in groups for r in g) == sorted(
        (r.prompt, r.index) for r in rows
    )
    assert all(len(w) * max(w) <= 16 * 64 or len(w) == 1 for w in widths)
    assert all(max(one) <= min(next_) for one, next_ in itertools.pairwise(widths))
    assert [len(g) for g in _together(asked, rows, max_tokens=10_000, token_budget=1)] == [1] * 240


def test_how_many_are_decoded_at_once_changes_nothing(model: ModelFolder) -> None:
    sampling = Sampling(max_tokens=12, temperature=0.8, stop_tokens=())
    said = [
        CPU(dtype="float32", token_budget=budget).load(model).base().sample(prompts(n=3), sampling)
        for budget in (4, 4096)
    ]
    for few, many in zip(*(handle.result() for handle in said), strict=True):
        assert [c.tokens.tolist() for c in few] == [c.tokens.tolist() for c in many]


class RunsAhead(Decoding):
    """As on a GPU: the next step is taken before it is known who is at their end."""

    runs_ahead = True

    def worth_dropping(self, num_going: int, num_rows: int) -> bool:
        return 2 * num_going <= num_rows


def said_by(
    kind: type[Decoding], session: Session, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Completion], list[tuple[int, ...]]]:
    """Completions of one kind of decoding, and what was told of their tokens."""
    sampling = Sampling(max_tokens=20, temperature=0.8, stop_tokens=tuple(range(0, 260, 9)))
    begun: list[Decoding] = []

    def decoding(policy: Any, cache: Any, lengths: Any, most: int) -> Decoding:
        begun.append(kind(policy, cache, lengths))
        return begun[-1]

    monkeypatch.setattr("customize_torch.sampling.decoding", decoding)
    heard: list[tuple[int, ...]] = []
    drawn = session.sample(prompts(n=8), sampling, lambda *told: heard.append(told)).result()
    assert begun
    return [one for some in drawn for one in some], sorted(heard)


def test_a_step_taken_ahead_changes_nothing_of_what_is_said(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, told = said_by(Decoding, session, monkeypatch)
    ahead, told_ahead = said_by(RunsAhead, session, monkeypatch)
    assert told == told_ahead
    for one, other in zip(said, ahead, strict=True):
        assert one.tokens.tolist() == other.tokens.tolist()
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-5)
    assert {one.stop_reason for one in said} == {"stop", "length"}


def test_equal_prompts_of_other_seeds_are_computed_once(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the episodes of a group have them; what they say is what each says alone."""
    group = [Prompt(prompts()[1].tokens, seed=seed) for seed in range(4)]
    mixed = [group[0], *prompts()[:1], *group[1:]]
    sampling = Sampling(max_tokens=6, stop_tokens=())
    alone = [session.sample([prompt], sampling).result()[0][0] for prompt in mixed]
    seen = []
    hidden = Policy.hidden

    def watched(self: Policy, tokens: torch.Tensor, *others: Any) -> torch.Tensor:
        seen.append(len(tokens))
        return hidden(self, tokens, *others)

    monkeypatch.setattr(Policy, "hidden", watched)
    together = session.sample(mixed, sampling).result()
    assert seen[0] == len(group[0].tokens) + len(mixed[1].tokens)
    assert [c.tokens.tolist() for (c,) in together] == [c.tokens.tolist() for c in alone]


@pytest.mark.parametrize("size", [3, 511, 512, 513, 2000])
@pytest.mark.parametrize("uniform", [0.0, 1e-12, 0.37, 0.999999, 1.0])
def test_a_token_is_found_by_its_block_and_never_one_without_mass(
    size: int, uniform: float
) -> None:
    """``uniform`` may be 1: the next below it rounds to that in 32 bits."""
    generator = torch.Generator().manual_seed(size)
    mass_RV = torch.rand(7, size, generator=generator)
    mass_RV[mass_RV < 0.6] = 0
    mass_RV[:, 1] = 0.5
    mass_RV[0] = 0
    mass_RV[0, size // 2] = 1e-30
    found_R1 = _where_passed(mass_RV, torch.full((7, 1), uniform, dtype=torch.float64))
    assert (mass_RV.gather(1, found_R1) > 0).all()
    if 0 < uniform < 0.99:
        exact_RV = mass_RV.double().cumsum(1)
        assert ((exact_RV <= uniform * exact_RV[:, -1:]).sum(1) == found_R1[:, 0]).all()


def test_rows_are_drawn_for_alike_in_parts_and_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    logits_RV = torch.randn(9, 700, generator=torch.Generator().manual_seed(0))
    rows = Drawing(
        [(5, n) for n in range(9)], Sampling(max_tokens=3, top_k=40), torch.device("cpu")
    )
    at_once = rows.draw(logits_RV, step=1)
    monkeypatch.setattr(drawing, "_CACHED", 1500)
    assert torch.equal(rows.draw(logits_RV, step=1), at_once)


def test_what_a_prompt_says_is_what_training_makes_of_it(engine: Engine) -> None:
    """To the bit, so that a margin to a reference that was asked this way begins at zero."""
    session = engine.open(LoRA(rank=4), seed=1)
    tokens = np.arange(1, 40, dtype=np.int32)
    asked = Sampling(max_tokens=1, stop_tokens=(), prompt_logprobs=True)
    [[drawn]] = session.sample([Prompt(tokens)], asked).result()
    batch = Batch.from_sequences([(tokens, {"weights": np.ones(len(tokens), np.float32)})])
    assert drawn.prompt_logprobs is not None
    assert drawn.prompt_logprobs.tolist() == session.forward(batch).result().tolist()
