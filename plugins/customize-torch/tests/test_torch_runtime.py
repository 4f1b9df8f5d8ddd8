"""The runtime answers as sessions do, whoever asks meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from customize import (
    AdamW,
    Batch,
    CrossEntropy,
    DataError,
    Engine,
    LoRA,
    Prompt,
    Query,
    Runtime,
    Sampling,
    Snapshot,
)
from customize.testing import write_tiny_model
from customize_torch.backend import CPU

SAMPLING = Sampling(max_tokens=24, temperature=0.8, top_p=0.9, stop_tokens=())
PROMPTS = [list(range(10, 10 + length)) for length in (3, 17, 5, 40, 9, 3, 28, 11, 4, 6)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    model = write_tiny_model(tmp_path_factory.mktemp("model"))
    return CPU(dtype="float32").load(model)


@pytest.fixture(scope="module")
def adapter(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that answers otherwise than the base."""
    session = engine.open(LoRA(rank=4), seed=1)
    batch = Batch.from_sequences([(list(range(10, 50)), {"weights": [1.0] * 40})])
    for _ in range(3):
        session.forward_backward(batch, CrossEntropy())
        session.optim_step(AdamW(lr=0.05)).result()
    folder = tmp_path_factory.mktemp("adapter")
    session.save_weights(folder)
    return folder


@pytest.fixture(scope="module")
def runtime(engine: Engine, adapter: Path) -> Iterator[Runtime]:
    made = engine.runtime({"own": adapter})
    yield made
    made.close()


def said(runtime: Runtime, query: Query) -> tuple[list[int], list[float]]:
    drawn = list(runtime.stream(query))
    return [one.token for one in drawn], [one.logprob for one in drawn]


def sampled(snapshot: Snapshot, number: int) -> tuple[list[int], list[float]]:
    prompt = Prompt(PROMPTS[number], seed=number)
    [[completion]] = snapshot.sample([prompt], SAMPLING).result()
    return completion.tokens.tolist(), completion.logprobs.tolist()


def test_what_is_asked_at_once_is_answered_as_each_would_be_alone(
    engine: Engine, runtime: Runtime, adapter: Path
) -> None:
    names = [None, "own"] * (len(PROMPTS) // 2)
    queries = [
        Query(prompt, SAMPLING, seed=i, adapter=name)
        for i, (prompt, name) in enumerate(zip(PROMPTS, names, strict=True))
    ]
    snapshots: dict[str | None, Snapshot] = {None: engine.base(), "own": engine.open(adapter)}
    with ThreadPoolExecutor(len(queries)) as pool:  # more than there are slots
        answers = list(pool.map(lambda query: said(runtime, query), queries))
    for number, (tokens, logprobs) in enumerate(answers):
        wanted, close = sampled(snapshots[names[number]], number)
        assert tokens == wanted
        assert np.allclose(logprobs, close, atol=1e-4)
    assert answers[0] != sampled(snapshots["own"], 0)


def test_short_and_long_answers_come_and_go(engine: Engine, runtime: Runtime) -> None:
    """Rows join and leave at every step, and the cache's room is that of the longest."""
    lengths = [1, 60, 2, 45, 7, 33, 12, 50]

    def answer(number: int) -> list[int]:
        sampling = Sampling(max_tokens=lengths[number], temperature=0.0, stop_tokens=())
        return said(runtime, Query(PROMPTS[number], sampling))[0]

    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(answer, range(len(lengths))))
    for number, tokens in enumerate(together):
        sampling = Sampling(max_tokens=lengths[number], temperature=0.0, stop_tokens=())
        [[wanted]] = engine.base().sample([Prompt(PROMPTS[number])], sampling).result()
        assert tokens == wanted.tokens.tolist()


def test_the_likeliest_tokens_are_those_of_the_whole_distribution(runtime: Runtime) -> None:
    query = Query(
        PROMPTS[1], Sampling(max_tokens=6, temperature=0.0, stop_tokens=()), top_logprobs=3
    )
    drawn = list(runtime.stream(query))
    tokens = np.asarray([*PROMPTS[1], *(one.token for one in drawn)], np.int32)
    logprobs_TV = runtime.logprobs(tokens, len(PROMPTS[1]))
    assert logprobs_TV.shape == (6, 256)
    assert np.allclose(np.exp(logprobs_TV).sum(axis=1), 1, atol=1e-5)
    for one, row in zip(drawn, logprobs_TV, strict=True):
        assert one.token == row.argmax()
        assert one.logprob == pytest.approx(row.max(), abs=1e-4)
        assert [token for token, _ in one.top] == np.argsort(-row)[:3].tolist()


def test_an_adapters_distribution_is_its_sessions(
    engine: Engine, runtime: Runtime, adapter: Path
) -> None:
    tokens = np.asarray(PROMPTS[3], np.int32)
    weights = [0.0] + [1.0] * (len(tokens) - 1)
    batch = Batch.from_sequences([(tokens, {"weights": weights})])
    wanted = engine.open(adapter).forward(batch).result()[1:]
    found_TV = runtime.logprobs(tokens, 1, "own")
    assert np.allclose(found_TV[np.arange(len(wanted)), tokens[1:]], wanted, atol=1e-4)


def test_who_leaves_ends_the_answer(engine: Engine) -> None:
    runtime = engine.runtime({})
    long = Sampling(max_tokens=400, temperature=0.0, stop_tokens=())
    for _ in range(2 * runtime.slots):  # none of them holds its slot
        stream = runtime.stream(Query(PROMPTS[0], long))
        next(stream)
        stream.close()  # type: ignore[attr-defined]  # it is a generator
    cancelled = threading.Event()
    cancelled.set()
    assert len(list(runtime.stream(Query(PROMPTS[0], long), cancelled))) == 0
    short = Sampling(max_tokens=2, stop_tokens=())
    assert len(said(runtime, Query(PROMPTS[0], short))[0]) == 2
    runtime.close()


def test_a_token_of_another_vocabulary_is_refused(runtime: Runtime) -> None:
    with pytest.raises(DataError, match="tokens must be 0 to 255"):
        next(iter(runtime.stream(Query([5, 256]))))


def test_a_folder_is_opened_as_a_package_is(tmp_path: Path, adapter: Path) -> None:
    from customize_torch.runtime import TorchRuntime

    model = write_tiny_model(tmp_path / "model")
    runtime = TorchRuntime.open(adapter, {"second": adapter}, base=model.path)
    assert runtime.adapters == (adapter.name, "second")
    assert runtime.context == 512
    runtime.close()
