"""Workers of a local Ray compute what one process does, and are replaced where they are lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

import customize
from customize import (
    AdamW,
    BackendError,
    Batch,
    CrossEntropy,
    Engine,
    LoRA,
    Loss,
    ModelFolder,
    Observer,
    OutOfMemoryError,
    Prompt,
    Sampling,
    Step,
    WorkerLost,
    differentiate,
)
from customize.testing import conformance, write_tiny_model

ray = pytest.importorskip("ray")
pytest.importorskip("customize_sft")

from customize_ray.backend import Ray  # noqa: E402  # imports no Ray, and tells nothing without
from customize_ray.cluster import Team, _await, _connect  # noqa: E402
from customize_torch.backend import CPU  # noqa: E402
from customize_torch.group.conductor import Conductor  # noqa: E402

EACH = {"dtype": "float32", "threads": 1, "token_budget": 64}
WORKERS = Ray(address="local", workers=2, cpus=0.25, on="cpu", on_options=EACH, timeout_s=60)


@pytest.fixture(scope="module", autouse=True)
def _cluster() -> Iterator[None]:
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def engines(model: ModelFolder) -> tuple[Engine, Engine]:
    """One process, and the workers."""
    return CPU(**EACH).load(model), WORKERS.load(model)  # type: ignore[arg-type]


def batch(seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    rows = [(rng.integers(0, 240, n), {"weights": rng.uniform(0.2, 1, n)}) for n in (5, 17, 30, 11)]
    return Batch.from_sequences(rows, groups=[0, 0, 1, 1])


def squared(logprobs: Any, of: Batch) -> Any:
    return (logprobs.sum() / 100) ** 2


def test_losses_gradients_and_weights_are_those_of_one_process(
    engines: tuple[Engine, Engine], tmp_path: Path
) -> None:
    told: list[list[float]] = []
    for name, engine in zip(("one", "workers"), engines, strict=True):
        session = engine.open(LoRA(rank=4), seed=3)
        found = []
        losses: list[Loss] = [CrossEntropy(), differentiate(squared, couples="batch")]
        for seed, loss in enumerate(losses):
            output = session.forward_backward(batch(seed), loss).result()
            found += [output.loss, session.optim_step(AdamW(lr=0.01)).result()]
            found += output.logprobs.tolist()
        (tmp_path / name).mkdir()
        session.save(tmp_path / name)
        again = engine.open(LoRA(rank=4), seed=9)
        again.load(tmp_path / name)
        assert again.seed == 3
        told.append([*found, *again.forward(batch(7)).result().tolist()])
    np.testing.assert_allclose(told[1], told[0], rtol=1e-5, atol=5e-6)
    assert sorted(p.name for p in (tmp_path / "workers").iterdir()) == sorted(
        p.name for p in (tmp_path / "one").iterdir()
    )


def test_where_memory_runs_out_before_the_gradient_nothing_stays_pending(
    engines: tuple[Engine, Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = engines[1].open(LoRA(rank=4), seed=3)
    coupled = differentiate(squared, couples="batch")
    session.forward_backward(batch(0), coupled)

    def run_out(*given: object) -> NoReturn:
        raise OutOfMemoryError("memory does not hold it")

    with monkeypatch.context() as patched:
        patched.setattr(Conductor, "forward", run_out)
        with pytest.raises(OutOfMemoryError):
            session.forward_backward(batch(0), coupled)
    assert session.optim_step(AdamW(lr=0.01)).result() == 0.0


def test_they_draw_what_one_process_draws_and_tell_of_each_token(
    engines: tuple[Engine, Engine],
) -> None:
    prompts = [Prompt(np.arange(3 + i) * 7 % 240, n=1 + i % 2, seed=i) for i in range(3)]
    drawn = []
    for engine in engines:
        heard: dict[tuple[int, int], list[int]] = {}

        def hear(i: int, j: int, token: int, heard: Any = heard) -> None:
            heard.setdefault((i, j), []).append(token)

        sampling = Sampling(max_tokens=8, stop_tokens=())
        found = engine.base().sample(prompts, sampling, hear).result()
        said = {
            (i, j): c.tokens.tolist() for i, some in enumerate(found) for j, c in enumerate(some)
        }
        assert said == heard
        drawn.append(said)
    assert drawn[0] == drawn[1]


test_the_rules_of_backends = pytest.mark.slow(conformance(backend=WORKERS))


ROWS = [{"prompt": f"say {i}", "completion": f"it is {i * i}"} for i in range(12)]


class Killing(Observer):
    """Kills a worker in the middle of the step after this one."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.killed: list[int] = []

    def on_step(self, step: Step) -> None:
        if step.number == self.at and not self.killed:
            self.killed = [members()[-1]]
            os.kill(self.killed[0], signal.SIGKILL)


def members() -> list[int]:
    """Pids of workers that this process's Ray has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            command = (folder / "cmdline").read_bytes()
            if (
                command.startswith(b"ray::Worker")
                and _parent(_parent(int(folder.name))) == os.getpid()
            ):
                found.append(int(folder.name))
    return sorted(found)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def train(model: ModelFolder, to: Path, backend: Ray, *watching: Observer) -> customize.Run:
    return customize.train(
        model=model.path,
        data=ROWS,
        to=to,
        backend=backend,
        options={"steps": 8, "batch_size": 4},
        checkpoint_every=3,
        observers=watching,
        evaluate=False,
    )


def outcome(folder: Path) -> tuple[bytes, list[dict[str, Any]]]:
    weights = (folder / "adapter" / "adapter_model.safetensors").read_bytes()
    return weights, [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_lost_worker_is_replaced_and_the_run_ends_as_if_none_had_been(
    model: ModelFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(model, tmp_path / "whole", WORKERS)
    killing = Killing(at=4)
    train(model, tmp_path / "lost", WORKERS, killing)
    assert killing.killed
    said = capsys.readouterr().err
    assert "process 1 is gone" in said or "process 0 is gone" in said
    assert "the run goes on from its last checkpoint" in said
    assert outcome(tmp_path / "lost") == outcome(tmp_path / "whole")
    assert not set(killing.killed) & set(members())


def test_a_worker_lost_once_too_often_ends_the_run_and_no_process_stays(
    model: ModelFolder, tmp_path: Path
) -> None:
    once = Ray(address="local", cpus=0.25, on="cpu", on_options=EACH, restarts=0)
    before = members()
    with pytest.raises(BackendError, match="more often than restarts allows"):
        train(model, tmp_path / "run", once, Killing(at=4))
    assert (tmp_path / "run" / "checkpoints" / "step-00000003").is_dir()
    until = time.monotonic() + 60
    while set(members()) - set(before):
        assert time.monotonic() < until
        time.sleep(0.2)


def test_more_workers_than_a_cluster_has_room_for_are_refused(model: ModelFolder) -> None:
    with pytest.raises(customize.Unsupported, match=r"want 900 CPUs, .* set room_s"):
        Ray(address="local", workers=3, cpus=300, on="cpu").load(model)


def test_a_cluster_that_grows_is_asked_for_what_it_has_no_room_for_yet(
    model: ModelFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("customize_ray.crew._BEGINNING_S", 1.0)
    told = (
        r"process 0, 1, 2 did not answer within 3 s: they want 900 CPUs, and .* are free.* room_s"
    )
    with pytest.raises(WorkerLost, match=told):
        Ray(address="local", workers=3, cpus=300, on="cpu", room_s=2).load(model)
    assert "has not begun all workers yet: they want 900 CPUs" in caplog.text


def with_most_of_the_room(workers: int) -> Ray:
    """Beside it there is no room for another one."""
    WORKERS._team()  # begins the cluster
    most = 0.6 * ray.cluster_resources()["CPU"]
    cpus = round(most / workers, 2)
    return Ray(address="local", workers=workers, cpus=cpus, on="cpu", on_options=EACH)


def test_other_workers_take_the_room_of_those_before_and_give_it_back(
    model: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("customize_ray.cluster._FREED_S", 0.5)
    told = []
    first = with_most_of_the_room(1).load(model)
    for engine in (first, with_most_of_the_room(2).load(model), first):
        told.append(engine.base().forward(batch(1)).result())
    np.testing.assert_allclose(told[1], told[0], rtol=1e-5, atol=5e-6)
    np.testing.assert_array_equal(told[2], told[0])


def asked_beside(first: Engine, other: Ray, model: ModelFolder) -> list[Any]:
    """What a snapshot answers before and after other workers were asked, which begin meanwhile."""
    kept = first.base()
    told = [kept.forward(batch(1)).result()]
    other.load(model).base().forward(batch(1)).result()
    return [*told, kept.forward(batch(1)).result()]


def test_workers_stay_beside_others_where_there_is_room_for_both(model: ModelFolder) -> None:
    for team in list(Team._working):
        team.rest()  # what other tests left
    one, other = (
        Ray(address="local", workers=workers, cpus=0.1, on="cpu", on_options=EACH, room_s=1)
        for workers in (1, 2)
    )
    before, after = asked_beside(one.load(model), other, model)
    np.testing.assert_array_equal(after, before)


def test_workers_that_made_room_say_so_and_not_to_repeat_the_command(
    model: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("customize_ray.cluster._FREED_S", 0.5)
    told = r"made room for others of this process.* give both the same options .*workers.*timeout_s"
    with pytest.raises(BackendError, match=told) as raised:
        asked_beside(with_most_of_the_room(1).load(model), with_most_of_the_room(2), model)
    assert not isinstance(raised.value, WorkerLost)  # after which all would be done once more


def test_what_a_cluster_will_never_have_room_for_ends_no_others(model: ModelFolder) -> None:
    kept = WORKERS.load(model).base()
    with pytest.raises(customize.Unsupported, match="want 900 CPUs"):
        Ray(address="local", workers=3, cpus=300, on="cpu").load(model)
    kept.forward(batch(1)).result()


def test_work_that_takes_too_long_names_the_option(
    model: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = with_most_of_the_room(1)
    engine = alone.load(model)
    monkeypatch.setattr(alone._team().conductor().crew, "_timeout_s", 0.001)
    with pytest.raises(WorkerLost, match=r"did not answer within 0\.001 s: set timeout_s"):
        engine.base()


@pytest.mark.parametrize("error", [ConnectionError, ValueError, RuntimeError])
def test_a_cluster_that_is_named_and_does_not_answer_is_no_reason_for_another(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    asked: list[str] = []

    def init(address: str, **options: object) -> None:
        asked.append(address)
        raise error("it does not answer\nand so on")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr("customize_ray.cluster._await", lambda named: None)
    told = r"cluster at 10\.0\.0\.1:6379 cannot be joined \(it does not answer\): correct"
    with pytest.raises(BackendError, match=told):
        _connect("10.0.0.1:6379", 2, 1.0)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(BackendError, match=told):
        _connect("auto", 2, 1.0)
    assert asked == ["10.0.0.1:6379"] * 2


def test_a_cluster_of_this_machine_alone_is_said_where_it_was_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    def init(address: str, **options: object) -> None:
        asked.append(address)
        if address != "local":
            raise ConnectionError("there is none")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    _connect("local", 2, 1.0)
    assert "Ray" not in caplog.text
    _connect("auto", 2, 1.0)
    assert "no Ray cluster is at hand: one of this machine alone is begun" in caplog.text
    monkeypatch.setenv("RAY_ADDRESS", "local")
    _connect("auto", 2, 1.0)
    assert asked == ["local", "auto", "local", "local"]


def test_where_nothing_listens_a_named_cluster_is_soon_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without Ray, which would try for a quarter of an hour."""
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr("customize_ray.cluster._ANSWERING_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        _await(address)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(BackendError, match=rf"cluster at {address} cannot be joined .* refused"):
        _connect("auto", 2, 1.0)
    assert f"no Ray cluster answers at {address} yet" in caplog.text
