"""Who of several processes gets what, and what travels between them: what needs no group."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from customize.testing import write_tiny_model
from customize_torch.group.files import sketch
from customize_torch.group.parcel import Parcel, size_of, unpack
from customize_torch.group.sharing import shares


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
