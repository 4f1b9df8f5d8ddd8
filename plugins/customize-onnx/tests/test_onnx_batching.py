"""Queries under way together: they join and leave, and answer as each does alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_decoders import export, write_adapter, write_model

from customize import BackendError, DataError, OptionError, Query, Sampling
from customize_onnx import Generator
from customize_onnx.batching import CHUNK


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batching")
    model = write_model(folder / "model", "llama, long")
    peft = write_adapter(folder / "peft", model, seed=1, rank=4)
    return export(model, folder / "out", peft, "mine", weights="float32")


@pytest.fixture
def generator(package: Path) -> Iterator[Generator]:
    made = Generator(package, threads=1, slots=3)
    yield made
    made.close()


def query(number: int, **more: Any) -> Query:
    rng = np.random.default_rng(number)
    sampling = Sampling(max_tokens=int(rng.integers(3, 12)), temperature=1.0, stop_tokens=())
    tokens = rng.integers(1, 250, int(rng.integers(1, 60)))
    adapter = "mine" if number % 3 == 0 else None
    return Query(tokens, more.pop("sampling", sampling), seed=number, adapter=adapter, **more)


def test_answers_given_together_are_those_given_alone(generator: Generator) -> None:
    alone = [[*generator.stream(query(number))] for number in range(9)]
    together: dict[int, Any] = {}

    def ask(number: int) -> None:
        time.sleep(0.002 * number)  # so that they join at any time
        together[number] = [*generator.stream(query(number))]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, said in enumerate(alone):
        assert [one.token for one in together[number]] == [one.token for one in said]
        found = [one.logprob for one in together[number]]
        np.testing.assert_allclose(found, [one.logprob for one in said], atol=1e-4)


def test_an_adapter_changes_only_the_answers_that_ask_for_it(generator: Generator) -> None:
    tokens = [5, 6, 7, 8]
    base, mine = (generator.logprobs(tokens, 1, adapter) for adapter in (None, "mine"))
    assert np.abs(base - mine).max() > 0.1


def test_a_long_prompt_is_read_in_chunks_as_it_is_at_once(generator: Generator) -> None:
    tokens = np.random.default_rng(0).integers(1, 250, 2 * CHUNK + 40)
    whole = generator.logprobs(tokens, 1)
    assert whole.shape == (len(tokens) - 1, 260)
    for start in (CHUNK, CHUNK + 1, CHUNK + 2, 2 * CHUNK + 7, len(tokens) - 1):
        np.testing.assert_allclose(generator.logprobs(tokens, start), whole[start - 1 :], atol=1e-4)
    greedy = Sampling(max_tokens=1, temperature=0.0, stop_tokens=())
    (said,) = generator.stream(Query(tokens[:-1], greedy))
    assert said.token == whole[-1].argmax()
    assert generator.logprobs(tokens, len(tokens)).shape == (0, 260)


@pytest.mark.parametrize("leave", ["close", "cancel"])
def test_who_goes_away_frees_the_slot(generator: Generator, leave: str) -> None:
    endless = Sampling(max_tokens=10_000, stop_tokens=())
    held = []
    for number in range(3):
        cancelled = threading.Event()
        stream = generator.stream(query(number, sampling=endless), cancelled)
        next(stream)
        held.append((stream, cancelled))
    waiting = generator._batching.submit(query(7))
    assert len(generator._batching._answers) == 3
    stream, cancelled = held[0]
    if leave == "close":
        stream.close()  # type: ignore[attr-defined]
    else:
        cancelled.set()
        assert len([*stream]) < 10_000
    assert [*waiting.said()]
    for stream, _ in held:
        stream.close()  # type: ignore[attr-defined]


def test_who_waits_for_a_slot_may_go_away_too(generator: Generator) -> None:
    endless = Sampling(max_tokens=10_000, stop_tokens=())
    held = [generator.stream(query(number, sampling=endless)) for number in range(3)]
    for stream in held:
        next(stream)
    cancelled = threading.Event()
    waiting = generator._batching.submit(query(7), cancelled)
    cancelled.set()
    assert [*waiting.said()] == []
    for stream in held:
        stream.close()  # type: ignore[attr-defined]


def test_an_error_reaches_who_asked_and_the_others_go_on(
    generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = generator._program.run

    def failing(tokens: Any, cache: Any, num_kept: int, adapter: str | None) -> Any:
        if adapter == "mine":
            raise MemoryError("no room")
        return run(tokens, cache, num_kept, adapter)

    monkeypatch.setattr(generator._program, "run", failing)
    with pytest.raises(MemoryError, match="no room"):
        [*generator.stream(query(3))]
    assert [*generator.stream(query(4))]


def test_an_answer_ends_at_a_stop_token_a_stop_text_or_the_context(generator: Generator) -> None:
    free = Sampling(max_tokens=20, temperature=0.0, stop_tokens=())
    tokens = [one.token for one in generator.stream(Query([5, 6], free))]
    stopped = Sampling(max_tokens=20, temperature=0.0, stop_tokens=(tokens[3],))
    found = [one.token for one in generator.stream(Query([5, 6], stopped))]
    assert found == tokens[: tokens.index(tokens[3]) + 1]
    text = generator.renderer.decode(np.array(tokens[4:6], np.int32))
    by_text = Sampling(max_tokens=20, temperature=0.0, stop_tokens=(), stop=(text,))
    assert len([*generator.stream(Query([5, 6], by_text))]) <= 6
    almost = np.full(generator.context - 4, 5)
    assert len([*generator.stream(Query(almost, free))]) == 4


def test_top_logprobs_are_the_likeliest(generator: Generator) -> None:
    (said,) = generator.stream(Query([5, 6], Sampling(max_tokens=1), top_logprobs=5))
    wanted = generator.logprobs([5, 6, said.token], 2)[0]
    assert [token for token, _ in said.top] == np.argsort(-wanted)[:5].tolist()
    assert said.logprob == pytest.approx(float(wanted[said.token]), abs=1e-5)


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        (lambda: Query([]), DataError, "empty"),
        (lambda: Query([260]), DataError, "tokens are 0 to 259"),
        (lambda: Query([-1]), DataError, "tokens are 0 to 259"),
        (lambda: Query([1] * 1024), DataError, "no room for an answer in 1024"),
        (lambda: Query([1], adapter="other"), OptionError, "'other': there are mine"),
        (lambda: Query([1], Sampling(prompt_logprobs=True)), OptionError, "ask its logprobs"),
    ],
    ids=["empty", "high", "low", "long", "adapter", "prompt_logprobs"],
)
def test_what_cannot_be_answered_is_refused_at_once(
    generator: Generator, asked: Callable[[], Query], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        generator.stream(asked())


def test_a_closed_runtime_says_so(package: Path) -> None:
    generator = Generator(package, threads=1)
    held = generator.stream(query(1, sampling=Sampling(max_tokens=10_000, stop_tokens=())))
    next(held)
    generator.close()
    with pytest.raises(BackendError, match="is closed: open it again"):
        list(held)  # what was said is no whole answer
    with pytest.raises(BackendError, match="is closed: open it again"):
        [*generator.stream(query(1))]
