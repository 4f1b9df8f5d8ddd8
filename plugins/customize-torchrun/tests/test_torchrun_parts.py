"""What needs no group: what auto takes, and what is done without torchrun."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from customize import ModelFolder, Unsupported, choose_backend
from customize.testing import write_tiny_model
from customize_torchrun import _plugin
from customize_torchrun.backend import Torchrun
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
