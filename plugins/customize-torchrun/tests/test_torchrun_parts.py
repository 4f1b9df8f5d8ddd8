"""What needs no group: who gets what, what travels, and what auto takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from customize import ModelFolder, choose_backend
from customize.testing import write_tiny_model
from customize_torchrun import _plugin
from customize_torchrun.backend import Torchrun
from customize_torchrun.launch import launched
from customize_torchrun.parcel import Parcel, size_of, unpack
from customize_torchrun.part import sketch
from customize_torchrun.sharing import shares


@pytest.mark.parametrize("world", [1, 2, 3, 4, 9])
def test_every_sequence_is_one_process_s(world: int) -> None:
    sizes, groups = [5, 90, 7, 7, 1, 30, 12], [0, 0, 1, 1, 2, 3, 3]
    dealt = shares(sizes, groups, world)
    assert len(dealt) == world
    assert sorted(np.concatenate(dealt).tolist()) == list(range(7))
    assert all((np.diff(share) > 0).all() for share in dealt)


def test_a_group_stays_together_unless_it_is_more_than_a_share() -> None:
    dealt = shares([10] * 8, [0, 0, 1, 1, 2, 2, 3, 3], 2)
    assert all(len({i // 2 for i in share.tolist()}) == 2 for share in dealt)
    alone = shares([10] * 8, [0] * 8, 4)
    assert [len(share) for share in alone] == [2, 2, 2, 2]


def test_shares_are_alike_in_size() -> None:
    sizes = np.random.default_rng(0).integers(10, 200, 64)
    loads = [int(sizes[share].sum()) for share in shares(sizes, range(64), 4)]
    assert max(loads) - min(loads) <= sizes.max()


def test_a_parcel_arrives_as_it_was_sent() -> None:
    arrays = {
        "a": np.arange(3, dtype=np.int32),
        "none": np.zeros(0, np.float32),
        "b": np.array([1e-300, np.nan, -0.0]),
    }
    sent = Parcel({"text": "é", "big": 2**70, "rate": 0.1}, arrays)
    content = sent.content()
    assert size_of(sent.label()) == len(content)
    found = unpack(sent.label(), content)
    assert found.value == sent.value
    for name, array in arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert found.arrays[name].tobytes() == array.tobytes()


def test_objects_do_not_travel() -> None:
    label = Parcel({}, {"a": np.zeros(1, np.uint8)}).label().replace("uint8", "object")
    with pytest.raises(ValueError, match="arrays of object do not travel"):
        unpack(label, np.zeros(1, np.uint8))


def test_a_model_that_differs_has_another_sketch(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "a")
    write_tiny_model(tmp_path / "b", seed=1)
    assert sketch(tmp_path / "a") != sketch(tmp_path / "b")
    write_tiny_model(tmp_path / "c")
    assert sketch(tmp_path / "a") == sketch(tmp_path / "c")


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


def test_without_torchrun_it_is_the_engine_itself(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    write_tiny_model(tmp_path)
    given = {"on": "cpu", "on_options": {"dtype": "float32", "threads": 1}}
    chosen = choose_backend("torchrun", given)
    engine = chosen.load(ModelFolder(tmp_path, "tiny", "tiny"))
    assert type(engine).__name__ == "TorchEngine"
    assert isinstance(chosen, Torchrun)
    assert dict(chosen.settled({}).numerics())["on"] == "cpu"
