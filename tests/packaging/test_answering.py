"""Tokens drawn from logits: as sessions draw them, and ended where they end."""

from __future__ import annotations

import numpy as np
import pytest

from customize import Answering, Query, Sampling
from customize.testing.renderer import ToyRenderer

LOGITS_TV = np.random.default_rng(0).normal(0, 2, (40, 50)).astype(np.float32)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.0},
        {},
        {"temperature": 0.7, "top_k": 9},
        {"temperature": 1.5, "top_p": 0.8},
        {"top_k": 5, "top_p": 0.5},
    ],
    ids=str,
)
def test_tokens_are_drawn_as_the_engine_draws_them(options: dict[str, float]) -> None:
    torch = pytest.importorskip("torch")
    drawing = pytest.importorskip("customize_torch.drawing")
    sampling = Sampling(max_tokens=40, stop_tokens=(), **options)  # type: ignore[arg-type]
    theirs = drawing.Drawing([(11, 2)], sampling, torch.device("cpu"))
    ours = Answering(Query([1], sampling, seed=11, index=2), ToyRenderer(), 64)
    for place, logits_V in enumerate(LOGITS_TV):
        token, logprob, _ = theirs.draw(torch.tensor(logits_V[None]), place)[:, 0].tolist()
        said = ours.draw(logits_V)
        assert said.token == int(token)
        assert said.logprob == pytest.approx(logprob, abs=1e-5)
    assert ours.over


def test_the_likeliest_come_with_their_logprobs_in_order() -> None:
    said = Answering(Query([1], top_logprobs=3), ToyRenderer(), 64).draw(
        np.log([0.2, 0.4, 0.1, 0.3])
    )
    assert [token for token, _ in said.top] == [1, 3, 0]
    assert [logprob for _, logprob in said.top] == pytest.approx(np.log([0.4, 0.3, 0.2]))


def test_an_answer_ends_after_a_stop_token_a_stop_text_or_enough_tokens() -> None:
    renderer = ToyRenderer()
    stop = renderer.stop_tokens[0]
    [letter] = (t for t in range(256) if renderer.decode(np.array([t], np.int32)) == "y")

    def length_of(tokens: list[int], **options: object) -> int:
        sampling = Sampling(max_tokens=4, temperature=0.0, **options)  # type: ignore[arg-type]
        answering = Answering(Query([1], sampling), renderer, 64)
        for token in tokens:
            if answering.over:
                break
            answering.draw(np.eye(256)[token])
        return len(answering.tokens)

    assert length_of([letter, stop, letter]) == 2
    assert length_of([letter, stop, letter], stop_tokens=()) == 3
    assert length_of([letter, letter, letter], stop=("yy",)) == 2
    assert length_of([letter] * 9) == 4


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.0},
        {},
        {"temperature": 0.6},
        {"temperature": 1.4},
        {"top_k": 5},
        {"temperature": 0.8, "top_p": 0.7},
        {"top_k": 9, "top_p": 0.95},
        {"temperature": 0.01},
        {"temperature": 0.01, "top_p": 0.9},
    ],
    ids=str,
)
def test_the_likeliest_tokens_decide_what_all_would_or_ask_for_more(
    options: dict[str, float],
) -> None:
    rng = np.random.default_rng(1)
    sampling = Sampling(max_tokens=300, stop_tokens=(), **options)  # type: ignore[arg-type]
    full = Answering(Query([1], sampling, seed=3, top_logprobs=2), ToyRenderer(), 4096)
    few = Answering(Query([1], sampling, seed=3, top_logprobs=2), ToyRenderer(), 4096)
    asked_again = 0
    for _ in range(300):
        logits_V = rng.normal(0, 3, 60)
        logprobs_V = logits_V - np.logaddexp.reduce(logits_V)
        wanted = full.draw(logits_V)
        for count in (20, 60):
            ids_K = np.argsort(-logprobs_V)[:count]
            said = few.draw_among(ids_K, logprobs_V[ids_K], 60)
            if said is not None:
                break
            asked_again += 1
        assert said is not None
        assert said.token == wanted.token
        assert said.logprob == pytest.approx(wanted.logprob)
        assert [token for token, _ in said.top] == [token for token, _ in wanted.top]
    certain = options.get("temperature", 1) < 0.1 or options.get("top_k", 99) < 20
    assert asked_again == 0 if certain else 0 < asked_again < 200
    assert few.over


def test_an_answer_ends_where_the_context_does() -> None:
    answering = Answering(Query([1, 2, 3], Sampling(stop_tokens=())), ToyRenderer(), 5)
    while not answering.over:
        answering.draw(np.log([0.2, 0.4, 0.1, 0.3]))
    assert len(answering.tokens) == 2
