"""The parity gate on real packages: it passes what nothing is lost in, and stops what is ruined."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest
from safetensors.numpy import load_file, save_file

import customize
from customize import (
    AdamW,
    Batch,
    ChatRenderer,
    CrossEntropy,
    Exportable,
    LoRA,
    Manifest,
    ModelFolder,
    ParityError,
    Session,
    options,
)
from customize.data.rendering.folder import ChatFolder
from customize.packaging.prompts import Question
from customize.packaging.reference import Case, reference_cases
from customize.testing import write_tiny_model
from customize.testing.exporter_rules.subject import MESSAGES, ExporterSubject
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


@options
class EndsAtAnother(ONNX):
    """Tells onnxruntime-genai of one stop token more than the session has."""

    def write(self, source: Exportable, folder: Path) -> None:
        chat = ChatFolder.read(source.model.path)
        renderer = ChatRenderer(attrs.evolve(chat, eos=(*chat.eos, 0)))
        super().write(attrs.evolve(source, renderer=renderer), folder)


class OneQuestion(ExporterSubject):
    @functools.cached_property
    def cases(self) -> Sequence[Case]:
        return reference_cases(self.session, self.engine.base(), [Question("one", MESSAGES[0])])


def test_a_package_in_which_genai_ends_elsewhere_is_refused(tmp_path: Path) -> None:
    subject = OneQuestion("onnx", EndsAtAnother())
    told = (
        r"by its genai_config\.json answers end at the tokens \[0, (\d+)\], the session's at \[\1\]"
    )
    with pytest.raises(ParityError, match=told):
        subject.write(subject.source, tmp_path / "out")
    parity = json.loads((tmp_path / "out" / "parity.json").read_text("utf-8"))
    assert parity["own"] == {"prompts": "none of its own", "stop_tokens": "not equal"}


def test_eight_bits_pass_where_four_do_not(tmp_path: Path) -> None:
    subject = Spiked("onnx", ONNX(weights="int8"))
    parity = subject.write(subject.source, tmp_path / "out").parity
    assert parity["verdict"] == "passed"
    assert 1e-4 < parity["figures"]["kl"] < 2e-2


class Roomy(ExporterSubject):
    """Of a model that holds many tokens."""

    @functools.cached_property
    def model(self) -> ModelFolder:
        folder = write_tiny_model(self.folder() / "model", rounded=True).path
        file = folder / "config.json"
        config = json.loads(file.read_text("utf-8"))
        file.write_text(json.dumps({**config, "max_position_embeddings": 4096}), "utf-8")
        return customize.resolve(folder)


def test_a_package_of_a_short_context_is_proven_by_what_fits_it(tmp_path: Path) -> None:
    subject = Roomy("onnx", ONNX(context=240))
    assert subject.write(subject.source, tmp_path / "out").parity["verdict"] == "passed"
    told = json.loads((tmp_path / "out" / "genai_config.json").read_text("utf-8"))
    assert told["model"]["context_length"] == 240


class SmolLM2(ExporterSubject):
    """Of a real model, a few steps from its base."""

    @functools.cached_property
    def model(self) -> ModelFolder:
        return customize.resolve("smollm2")

    @functools.cached_property
    def session(self) -> Session:
        session = self.engine.open(LoRA(rank=8), seed=1)
        answer = {"role": "assistant", "content": "Certainly not today."}
        rendered = [session.renderer.render([*messages, answer]) for messages in MESSAGES]
        batch = Batch.from_sequences([(r.tokens, {"weights": r.weights}) for r in rendered])
        for _ in range(6):
            session.forward_backward(batch, CrossEntropy())
            session.optim_step(AdamW(lr=1e-3)).result()
        return session


@pytest.fixture(scope="module")
def smollm2() -> SmolLM2:
    return SmolLM2("onnx", ONNX())


@pytest.mark.parametrize(
    ("weights", "least", "most"),
    [("float16", 0.0, 1e-4), ("int8", 1e-4, 2e-2)],
)
def test_a_real_model_passes_with_sixteen_bits_and_with_eight(
    smollm2: SmolLM2, tmp_path: Path, weights: str, least: float, most: float
) -> None:
    smollm2.exporter = ONNX(weights=weights)
    parity = smollm2.write(smollm2.source, tmp_path / "out").parity
    assert parity["verdict"] == "passed"
    assert least <= parity["figures"]["kl"] <= most
    assert parity["figures"]["share_of_customization"] > 0.9


def test_a_real_model_is_ruined_by_four_bits_and_refused(smollm2: SmolLM2, tmp_path: Path) -> None:
    smollm2.exporter = ONNX(weights="int4")
    with pytest.raises(ParityError, match="its probabilities diverge from the session's"):
        smollm2.write(smollm2.source, tmp_path / "out")
    told = json.loads((tmp_path / "out" / "parity.json").read_text("utf-8"))
    assert told["figures"]["kl"] > 5 * told["limits"]["divergence"]
