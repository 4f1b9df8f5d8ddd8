"""External checkpoints beside the adapter: whole weights, and what exporters make."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from wire_client import HELLO, Asking, OperationFailed, datum, serving

from customize import (
    Batch,
    Exportable,
    Exporter,
    ExportError,
    OptionError,
    UnknownName,
    resolve,
)
from customize.testing.tiny_model import write_tiny_model
from customize_tinker.__main__ import command
from customize_tinker.forms import Forms

for needed in ("customize_torch", "customize_hf", "customize_onnx", "onnxruntime"):
    pytest.importorskip(needed)

from customize_torch.backend import CPU  # noqa: E402


def test_merged_weights_and_onnx_are_downloaded_beside_the_adapter(tmp_path: Path) -> None:
    """The merged model, opened by itself, says what the server's adapter says; onnxruntime opens
    the other."""
    backend, model = CPU(dtype="float32", threads=1), write_tiny_model(tmp_path / "tiny")

    async def through_the_server() -> tuple[set[str], np.ndarray]:
        forms = Forms.named(["merged", "onnx"])
        async with serving(tmp_path, backend, model=model, forms=forms) as app:
            asking, nobody = Asking(app), Asking(app, "")
            trained = await asking.model(await asking.session())
            await asking.learn(trained, [datum(HELLO)])
            await asking.step(trained, 0.05)
            await asking.do("save_weights_external", trained, path="out")
            listing = f"training_runs/{trained}/checkpoints/external_weights/out"
            told = (await asking.request("GET", f"{listing}/external_weights_urls")).json["urls"]
            for name, address in told.items():
                path = address.partition("/api/v1/")[2]
                found = await nobody.request("GET", path)
                assert found.status == 200
                file = tmp_path / "downloaded" / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(found.body)
            output = await asking.learn(trained, [datum(HELLO)], forward_only=True)
            return set(told), output.logprobs[0]

    names, expected = asyncio.run(through_the_server())
    assert {"adapter_model.safetensors", "adapter_config.json"} <= names
    merged = resolve(tmp_path / "downloaded" / "merged")
    batch = Batch.from_sequences([(HELLO, {"weights": [0.0] + [1.0] * (len(HELLO) - 1)})])
    said = backend.load(merged).base().forward(batch).result()
    np.testing.assert_allclose(said[1:], expected, atol=1e-5)
    before = backend.load(model).base().forward(batch).result()
    assert abs(before[1:] - expected).max() > 1e-3
    import onnxruntime

    graph = tmp_path / "downloaded" / "onnx" / "model.onnx"
    assert onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]).get_inputs()
    assert (graph.parent / "tokenizer.json").is_file()


class Refusing(Exporter):
    """Makes nothing of any model."""

    precision = "float32"

    def check(self, source: Exportable) -> None:
        raise ExportError("of other models alone")

    def write(self, source: Exportable, folder: Path) -> None:
        raise AssertionError("it was refused")


def test_a_model_that_a_form_is_not_made_of_is_said_so(tmp_path: Path) -> None:
    """With the exporter's own words, and no half of a checkpoint stays."""

    async def through_the_server() -> None:
        async with serving(tmp_path, forms=Forms({"other": Refusing()})) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            with pytest.raises(OperationFailed, match="of other models alone") as failed:
                await asking.do("save_weights_external", model, path="out")
            assert failed.value.category == "user"
            assert not list((tmp_path / "kept").rglob("external_weights/*/checkpoint.json"))

    asyncio.run(through_the_server())


def test_a_form_that_is_not_there_is_said_before_the_server_begins(tmp_path: Path) -> None:
    with pytest.raises(UnknownName):
        Forms.named(["onxn"])
    with pytest.raises(OptionError, match="take merged"):
        Forms.named(["hf"])
    done = CliRunner().invoke(command, [str(tmp_path), "--external", "onxn"])
    assert isinstance(done.exception, UnknownName)
