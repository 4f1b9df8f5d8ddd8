"""Groups of processes for the tests, forked from one that has imported what they need.

``python torchrun_groups.py FOLDER NAME…``: those of GROUPS in turn, results in folders so named.
The forks are told what torchrun tells, so all but torchrun itself is as it would be.
"""

from __future__ import annotations

import faulthandler
import itertools
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
import torchrun_work as work
from torch import Tensor

import customize
from customize import LoRA, ModelFolder
from customize.testing import outcomes
from customize_torch import optimizer
from customize_torch.group import part
from customize_torch.group.bucket import Tensors, summed
from customize_torch.group.engine import SpreadEngine
from customize_torch.group.parcel import Parcel
from customize_torch.policy import Policy
from customize_torchrun.backend import Torchrun
from customize_torchrun.crew import Launched
from customize_torchrun.launch import launched

# The tiny model goes through transformers; with a base of its turns it has our own decoder.
MODEL, NATIVE, START, SAVED = "model", "native", "start", "saved"
EACH = {"dtype": "float32", "token_budget": 64}


@attrs.frozen
class Group:
    """What process 0 does, and how rank ``faulty`` ends before its time, where it does."""

    world: int
    work: Callable[[customize.Engine, Path], work.Arrays]
    fault: Callable[[], None] | None = None
    faulty: int = 1
    timeout_s: float = 60.0
    silence_s: float = 20.0
    shard: bool = False
    prove_every: int = 100
    model: str = MODEL


def _several(engine: customize.Engine, folder: Path) -> work.Arrays:
    """Twice in one group, to see that the bits are the same."""
    place = folder.parent
    first = work.everything(engine, place / START, place / SAVED if folder.name == "two" else None)
    again = work.everything(engine, place / START, None)
    unlike = [name for name in first if not np.array_equal(first[name], again[name])]
    return {**first, "unlike": np.array(unlike, dtype=str)}


def _once(engine: customize.Engine, folder: Path) -> work.Arrays:
    return work.everything(engine, folder.parent / START, None)


def _sharded(engine: customize.Engine, folder: Path) -> work.Arrays:
    """Also what each process says its adapter is, and the share of the layers this one holds."""
    assert isinstance(engine, SpreadEngine)
    session = engine.open(LoRA(rank=4), seed=3)
    work.train(session, 2)
    conductor = engine._conductor
    told = conductor.order("prove", of=session._number)  # type: ignore[attr-defined]  # spread
    crew = conductor.crew
    assert isinstance(crew, Launched)
    held, whole = 0, 0
    for layer in crew.part.engine(engine._number)._base.layers:
        for parameter in layer.parameters():
            held, whole = held + parameter.to_local().numel(), whole + parameter.numel()
    return {
        **_several(engine, folder),
        "digests": np.array([reply.value["digest"] for reply in told]),
        "held": np.array(held / whole),
        "distributions": session.base().distributions(np.arange(9, dtype=np.int32), 3),
    }


def _go_on(engine: customize.Engine, folder: Path) -> work.Arrays:
    return work.gone_on(engine, folder.parent / SAVED)


def _steps(engine: customize.Engine, folder: Path) -> work.Arrays:
    session = engine.open(LoRA(rank=4), seed=3)
    for seed in range(8):
        session.forward_backward(work.batch(seed=seed), customize.CrossEntropy())
        session.optim_step(work.ADAM)
    return {}


def _refused(engine: customize.Engine, folder: Path) -> work.Arrays:
    """What one process refuses is an error here, and all are ready for what comes next."""
    session = engine.open(LoRA(rank=4), seed=3)
    wrong = customize.Batch.from_sequences([(np.array([1, 9999]), {"weights": np.ones(2)})])
    told = []
    try:
        session.forward_backward(wrong, customize.CrossEntropy())
    except customize.DataError as error:
        told.append(str(error))
    return {"told": np.array(told), "norms": np.array(work.train(session, 1))}


def _kit(engine: customize.Engine, folder: Path) -> work.Arrays:
    """The kit, with the group behind the backend: what did not pass, and how much did."""
    found = outcomes("plugin", "customize_torchrun._plugin")
    failed = [f"{one.rule}: {one.reason}" for one in found if one.status == "failed"]
    return {
        "failed": np.array(failed, dtype=str),
        "passed": np.array([one.rule for one in found if one.status == "passed"]),
    }


def _at_step(third: Callable[[], None]) -> Callable[[], None]:
    """Let the third step of this process be something else."""

    def patch() -> None:
        steps, kept = [0], part.DOING["step"]

        def step(self: part.Part, order: Parcel) -> Parcel | None:
            steps[0] += 1
            if steps[0] == 3:
                third()
            return kept(self, order)

        part.DOING["step"] = step  # type: ignore[index]  # a dict

    return patch


def _in_the_third_pass(third: Callable[[], None]) -> Callable[[], None]:
    """Let this process's third pass be something else, while the others begin theirs."""

    def patch() -> None:
        passes, whole = [0], Policy.hidden

        def hidden(self: Policy, *given: Any) -> Tensor:
            passes[0] += 1
            if passes[0] == 3:
                third()
            return whole(self, *given)

        Policy.hidden = hidden  # type: ignore[assignment,method-assign]  # in this process alone

    return patch


def _raise() -> None:
    raise RuntimeError("the cable was pulled")


def _run_out() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")


def _runs_out_in_the_third_step() -> None:
    """In AdamW itself, after all have summed their gradients."""
    steps, whole = itertools.count(1), optimizer.step

    def step(*given: Any) -> Any:
        if next(steps) == 3:
            _run_out()
        return whole(*given)

    vars(optimizer)["step"] = step


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _adds_its_own_alone(after: int) -> Callable[[], None]:
    """Let this process forget what the others have learnt, from a step on."""

    def patch() -> None:
        steps = itertools.count(1)

        def summed_and_forgotten(gradients: Tensors, like: Tensors) -> Tensors:
            together = summed(gradients, like)
            return gradients if next(steps) > after else together

        vars(part)["summed"] = summed_and_forgotten

    return patch


KIT = "kit"
GROUPS = {
    "two": Group(2, _several),
    "four": Group(4, _several),
    "sharded": Group(2, _sharded, shard=True),
    "sharded, our decoder": Group(2, _once, shard=True, model=NATIVE),
    "two go on": Group(2, _go_on),
    "three go on": Group(3, _go_on),
    "refused": Group(2, _refused),
    "killed": Group(2, _steps, _at_step(lambda: os.kill(os.getpid(), signal.SIGKILL))),
    "raising": Group(2, _steps, _at_step(_raise)),
    "first raising": Group(2, _steps, _in_the_third_pass(_raise), faulty=0),
    "sharded, first raising": Group(2, _steps, _in_the_third_pass(_raise), faulty=0, shard=True),
    "sharded, second raising": Group(2, _steps, _in_the_third_pass(_raise), shard=True),
    "sharded, first out of memory": Group(
        2, _steps, _in_the_third_pass(_run_out), faulty=0, shard=True
    ),
    "sharded, second out of memory": Group(2, _steps, _in_the_third_pass(_run_out), shard=True),
    "out of memory in a step": Group(2, _steps, _runs_out_in_the_third_step),
    "hanging": Group(2, _steps, _at_step(lambda: time.sleep(600)), timeout_s=2),
    "stopped": Group(
        2, _steps, _at_step(lambda: os.kill(os.getpid(), signal.SIGSTOP)), silence_s=2
    ),
    "drifting": Group(2, _steps, _adds_its_own_alone(after=0)),
    "drifting later": Group(2, _steps, _adds_its_own_alone(after=1), prove_every=3),
    # The kit makes the backend by name: the others must have its defaults.
    KIT: Group(2, _kit, timeout_s=600, silence_s=10),
}


def _model(place: Path, name: str = MODEL) -> ModelFolder:
    return ModelFolder(place / name, "tiny", "tiny")


def _member(group: Group, rank: int, port: int, folder: Path) -> None:
    told = {
        "TORCHELASTIC_RUN_ID": "tests",
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": group.world,
        "LOCAL_WORLD_SIZE": group.world,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "CUDA_VISIBLE_DEVICES": "",
    }
    os.environ |= {name: str(value) for name, value in told.items()}
    launched.cache_clear()
    with (folder / f"errors-{rank}").open("w") as errors:
        os.dup2(errors.fileno(), 2)
    if rank == group.faulty and group.fault is not None:
        group.fault()
    backend = customize.choose_backend(
        Torchrun(
            on="cpu",
            on_options=EACH,
            timeout_s=group.timeout_s,
            silence_s=group.silence_s,
            shard=group.shard,
            prove_every=group.prove_every,
        )
    )
    engine = backend.load(_model(folder.parent, group.model))
    np.savez(folder / "numbers.npz", **group.work(engine, folder))  # type: ignore[arg-type]


def _forked(group: Group, rank: int, port: int, folder: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        _member(group, rank, port, folder)
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    else:
        code = 0
    import atexit

    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(code)


def run(group: Group, folder: Path) -> None:
    """All of its processes, until the last has ended."""
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    left = {_forked(group, rank, port, folder): rank for rank in range(group.world)}
    codes = {}
    while left:
        pid, status = os.wait()
        rank = left.pop(pid)
        codes[rank] = os.waitstatus_to_exitcode(status)
    (folder / "ended.json").write_text(json.dumps(codes))


if __name__ == "__main__":
    faulthandler.dump_traceback_later(300, exit=True)
    torch.set_num_threads(1)
    # What is imported by loading, the forks have as well.
    customize.choose_backend("cpu", EACH).load(_model(Path(sys.argv[1])))
    for name in sys.argv[2:]:
        run(GROUPS[name], Path(sys.argv[1], name))
