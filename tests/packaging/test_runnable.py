"""What can be run is told by what is in it, whatever it is called."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from customize.packaging.runnable import runs


def zipped(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, content)
    return out.getvalue()


def array_of(value: object) -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([value]), allow_pickle=True)
    return out.getvalue()


WEIGHTS = {"weight": [1.0, 2.0]}
# As torch.save wrote until 1.6: a number, and then what was saved.
LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)


@pytest.mark.parametrize(
    "content",
    [
        *(pickle.dumps(WEIGHTS, protocol) for protocol in range(2, 6)),
        pickle.dumps({"large": bytes(1 << 20)}, 4),
        pickle.dumps(Path("a"), 4)[2:],  # without a protocol it can be loaded too
        b"cposix\nsystem\n(S'true'\ntR.",  # in protocol 0, as pickles that do harm are written
        pickle.dumps(Path("a"), 0),
        pickle.dumps([Path("a"), "long" * 50_000], 0),
        LEGACY,
        zipped("archive/data.pkl", b"whatever"),
        zipped("a", pickle.dumps(WEIGHTS)),
        b"before" + zipped("archive/data.pkl", b"whatever"),
        array_of(object),
    ],
)
def test_a_pickle_is_found_under_any_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    assert runs(tmp_path / "pytorch_model.bin")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b".",
        b"PK\x05\x06" + bytes(3),
        b'{"a": [1, 2]}\n',
        b"---\nlicense: mit\n---\n# A card. (It is one.)\n",
        b"FROM ./model.gguf\n",
        b"\x80\x02" + np.linspace(-1, 1, 999, dtype=np.float32).tobytes(),
        zipped("table.npy", array_of(1.5)),
        array_of(1.5),
    ],
)
def test_data_is_no_pickle(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(content)
    assert not runs(tmp_path / "weights.bin")


def test_random_weights_are_no_pickles(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(300):
        kind = np.float32 if number % 2 else np.float16
        (tmp_path / "weights.bin").write_bytes(rng.normal(0, 0.05, 64).astype(kind).tobytes())
        assert not runs(tmp_path / "weights.bin")
