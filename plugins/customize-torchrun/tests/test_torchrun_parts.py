"""What needs no group: what auto takes, and what is done without torchrun."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from customize import LoRA, ModelFolder, ModelShape, OptionError, Unsupported, choose_backend
from customize.testing import write_tiny_model
from customize_torchrun import _plugin
from customize_torchrun.backend import Torchrun
from customize_torchrun.heart import Heart
from customize_torchrun.launch import launched


def test_auto_takes_it_under_torchrun_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def priority() -> int:
        launched.cache_clear()
        (spec,) = _plugin.customize_backends()
        return spec.priority

    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert priority() < 0
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    assert priority() > 100
    launched.cache_clear()


@pytest.fixture
def among_four(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in the first of four processes that torchrun began on two machines."""
    told = {"RANK": 0, "WORLD_SIZE": 4, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": 1}
    for name, value in told.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    launched.cache_clear()
    yield
    launched.cache_clear()


EACH: dict[str, Any] = {"on": "cpu", "on_options": {"dtype": "float32", "threads": 1}}


def test_alone_it_is_one_process() -> None:
    launched.cache_clear()
    assert Torchrun(**EACH).machine() == {"processes": 1}


def test_the_number_of_processes_is_the_machine_and_no_part_of_the_numerics(
    among_four: None,
) -> None:
    backend = Torchrun(**EACH)
    assert backend.machine() == {"processes": 4}
    assert Torchrun(**EACH, shard=True).machine() == {"processes": 4, "sharded": "yes"}
    assert "processes" not in backend.numerics()


def test_processes_of_one_machine_share_its_memory(
    among_four: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = pytest.importorskip("customize_torch.backend").CPU
    monkeypatch.setattr(cpu, "available_bytes", lambda self: 24e9)
    assert Torchrun(**EACH).available_bytes() == 12e9
    monkeypatch.setattr(cpu, "name", "cuda")  # a device is a process's own
    assert Torchrun(**EACH).available_bytes() == 24e9


def test_without_torchrun_it_is_the_engine_itself(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    write_tiny_model(tmp_path)
    given = {"on": "cpu", "on_options": {"dtype": "float32", "threads": 1}}
    chosen = choose_backend("torchrun", given)
    engine = chosen.load(ModelFolder(tmp_path, "tiny", "tiny"))
    assert type(engine).__name__ == "TorchEngine"
    assert isinstance(chosen, Torchrun)
    assert dict(chosen.settled({}).numerics())["on"] == "cpu"


def test_without_torchrun_it_says_that_it_computes_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("torch")
    write_tiny_model(tmp_path)
    chosen = choose_backend("torchrun", {"on": "cpu", "on_options": {"dtype": "float32"}})
    chosen.load(ModelFolder(tmp_path, "tiny", "tiny"))
    (said,) = [one.getMessage() for one in caplog.records if "torchrun" in one.name]
    assert "one process alone" in said
    assert "torchrun --nproc-per-node" in said
    assert "gloo" in chosen.hardware()["processes"]


def test_one_process_does_not_shard(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    write_tiny_model(tmp_path)
    chosen = choose_backend("torchrun", {"on": "cpu", "shard": True})
    assert "full" not in chosen.capabilities()
    with pytest.raises(Unsupported, match="shard needs several processes"):
        chosen.load(ModelFolder(tmp_path, "tiny", "tiny"))


def test_a_base_in_few_bits_declares_and_remembers_what_it_is() -> None:
    pytest.importorskip("torch")
    chosen = choose_backend("torchrun", {"on": "cpu", "on_options": {"base": "nf4"}})
    assert not {"full", "peft"} & chosen.capabilities()
    assert chosen.numerics()["base"] == "nf4"


def test_what_is_smaller_is_set_beside_the_options_that_were_given() -> None:
    given = Torchrun(on="cpu", on_options={"dtype": "float32"})
    [one, *_] = given.smaller(largest=100)
    assert one.option == "on_options.token_budget"
    made = one.of(given)
    assert isinstance(made, Torchrun)
    assert made.on_options == {"dtype": "float32", "token_budget": one.value}


def test_a_run_may_change_of_each_what_it_may_change_alone() -> None:
    assert Torchrun(on="cpu").may_change() == {"token_budget"}
    assert Torchrun(on="cpu").may_change() < Torchrun(on="cpu").numerics().keys()


def test_what_each_computes_with_is_checked() -> None:
    pytest.importorskip("torch")
    chosen = choose_backend("torchrun", {"on": "cpu", "on_options": {"thread": 1}})
    with pytest.raises(OptionError, match="did you mean 'threads'"):
        chosen.settled({})


def test_auto_gives_options_only_to_what_can_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("customize_cuda")
    pytest.importorskip("customize_rocm")
    monkeypatch.setattr("customize_cuda.backend.CUDA.probe", lambda self: "no device")
    monkeypatch.setattr("customize_rocm.backend.ROCm.probe", lambda self: "no device")
    chosen = choose_backend("torchrun", {"on_options": {"threads": 1, "dtype": "float32"}})
    assert dict(chosen.settled({}).numerics())["threads"] == 1


def test_under_torchrun_what_each_computes_on_is_not_taken_for_a_whole_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch")
    told = {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    told |= {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2", "MASTER_PORT": "1"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    launched.cache_clear()
    try:
        assert "forward_backward" in Torchrun(on="cpu").capabilities()
    finally:
        launched.cache_clear()


def test_why_a_process_ends_is_told_whatever_stands_for_stderr(
    among_four: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """torch's excepthook writes the main thread's error into a text of its own meanwhile."""
    dist = pytest.importorskip("torch.distributed")
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    launch = launched()
    assert launch is not None
    Heart(dist.HashStore(), launch, (), 10.0)._end("the cable was pulled")
    assert ended == [1]
    assert "Error: the cable was pulled: all processes end" in capfd.readouterr().err


def test_a_plan_counts_the_processes_that_it_is_told_of(tmp_path: Path) -> None:
    launched.cache_clear()
    pytest.importorskip("torch")
    shape = ModelShape.of_folder(write_tiny_model(tmp_path / "tiny").path)
    four, alone = Torchrun(**EACH, processes=4), Torchrun(**EACH)
    told = four.memory(shape, LoRA(rank=2), 5, 400)
    assert told == Torchrun(**EACH).memory(shape, LoRA(rank=2), 5, 100)
    assert four.sampling_memory(shape, 8, 100) == alone.sampling_memory(shape, 2, 25)
    assert four.machine()["processes"] == 4
    deep = attrs.evolve(shape, num_layers=40)
    sharded = Torchrun(**EACH, processes=4, shard=True).memory(deep, LoRA(rank=2), 5, 400)
    assert sharded["weights"] < told["weights"]
    assert four.remarks() == ()
    [remark] = alone.remarks()
    assert "one process is counted" in remark
    assert "backend_options.processes=N" in remark


def test_processes_that_are_not_there_do_not_train(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    write_tiny_model(tmp_path)
    with pytest.raises(Unsupported, match=r"processes=4.*torchrun --nproc-per-node 4"):
        Torchrun(**EACH, processes=4).load(ModelFolder(tmp_path, "tiny", "tiny"))
