"""The parity gate on real packages: it passes what nothing is lost in, and stops what is ruined."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

import customize
from customize import Manifest, ModelFolder, ParityError
from customize.testing import write_tiny_model
from customize.testing.exporter_rules.subject import ExporterSubject
from customize_onnx.exporter import ONNX

pytest.importorskip("customize_torch")
pytestmark = pytest.mark.slow


class Spiked(ExporterSubject):
    """Of a model in which one weight of each block is far larger than the others, as happens."""

    @functools.cached_property
    def model(self) -> ModelFolder:
        folder = write_tiny_model(self.folder() / "model").path
        tensors = load_file(folder / "model.safetensors")
        for name, weight in tensors.items():
            if name.endswith("_proj.weight"):
                weight[:, ::32] *= 8
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return customize.resolve(folder)


def test_four_bits_that_ruin_a_model_are_refused_and_kept_only_where_one_insists(
    tmp_path: Path,
) -> None:
    subject = Spiked("onnx", ONNX(weights="int4"))
    to = tmp_path / "out"
    with pytest.raises(ParityError, match="its probabilities diverge from the session's"):
        subject.write(subject.source, to)
    assert [path.name for path in to.iterdir()] == ["parity.json"]
    told = json.loads((to / "parity.json").read_text("utf-8"))
    assert told["figures"]["kl"] > told["limits"]["divergence"] == 2e-2
    assert told["fault"]["prompt"] in {case.question.name for case in subject.cases}
    subject.write(subject.source, to, despite=True)
    kept = Manifest.read(to)
    assert kept.parity["verdict"] == "failed"
    assert kept.parity["fault"] == told["fault"]


def test_eight_bits_pass_where_four_do_not(tmp_path: Path) -> None:
    subject = Spiked("onnx", ONNX(weights="int8"))
    parity = subject.write(subject.source, tmp_path / "out").parity
    assert parity["verdict"] == "passed"
    assert 1e-4 < parity["figures"]["kl"] < 2e-2
