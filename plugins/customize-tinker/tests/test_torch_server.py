"""The torch engine behind the server does what it does in process, to the bit."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("customize_torch")

from safetensors.numpy import load_file
from wire_client import HELLO, Asking, datum, serving

import customize
from customize import AdamW, Batch, CrossEntropy, LoRA, ModelFolder
from customize.testing.tiny_model import write_tiny_model
from customize_tinker.server import Where, make_app, make_server
from customize_torch.backend import CPU

DATA = [HELLO, [7, 7, 7, 8, 9], [20, 30, 40]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def test_the_same_adapter_comes_of_the_same_steps(tmp_path: Path, model: ModelFolder) -> None:
    """Also where the server ends in between and goes on from its journal."""
    backend = CPU(dtype="float32", threads=1)

    async def through_the_server() -> list[float]:
        losses = []
        async with serving(tmp_path, backend, model=model) as app:
            asking = Asking(app)
            trained = await asking.model(await asking.session())
            losses += await learn(asking, trained)
        async with serving(tmp_path, backend, model=model) as app:
            asking.app = app
            losses += await learn(asking, trained)
            await asking.do("save_weights", trained, path="end")
        return losses

    session = backend.load(model).open(LoRA(rank=4), seed=7)
    batch = Batch.from_sequences(
        [(row, {"weights": [0.0] + [1.0] * (len(row) - 1)}) for row in DATA]
    )
    expected = []
    for _ in range(4):
        expected.append(session.forward_backward(batch, CrossEntropy()).result().loss)
        session.optim_step(AdamW(lr=0.01, eps=1e-12, max_grad_norm=0)).result()
    session.save_weights(tmp_path / "expected")

    assert asyncio.run(through_the_server()) == expected
    (saved,) = tmp_path.rglob("weights/end/adapter")
    theirs, ours = (
        load_file(f / "adapter_model.safetensors") for f in (saved, tmp_path / "expected")
    )
    assert theirs.keys() == ours.keys()
    assert all((theirs[name] == ours[name]).all() for name in ours)


async def learn(asking: Asking, model: str) -> list[float]:
    losses = []
    for _ in range(2):
        output = await asking.learn(model, [datum(row) for row in DATA])
        losses.append(output.metrics["loss:sum"])
        await asking.step(model, 0.01)
    return losses


def test_a_recipe_is_the_same_on_the_processor_and_through_a_server(
    tmp_path: Path, model: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The losses, and the adapter that comes of it."""
    pytest.importorskip("customize_sft")
    monkeypatch.setenv("TINKER_API_KEY", "tml-a-test")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = Where(port=port)
    app = make_app(CPU(dtype="float32", threads=1), model, tmp_path / "kept", where)
    server = make_server(app, where)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.05)
        url = f"http://127.0.0.1:{port}"
        there = _trained(model, tmp_path / "there", "tinker", {"url": url})
    finally:
        server.should_exit = True
        thread.join()
    here = _trained(model, tmp_path / "here", "cpu", {"dtype": "float32", "threads": 1})
    assert there == pytest.approx(here, abs=1e-6)
    files = (
        load_file(next((tmp_path / name).rglob("adapter/adapter_model.safetensors")))
        for name in ("there", "here")
    )
    theirs, ours = files
    assert theirs.keys() == ours.keys()
    for name in ours:
        np.testing.assert_allclose(theirs[name], ours[name], atol=1e-6)


def _trained(model: ModelFolder, to: Path, backend: str, options: dict[str, object]) -> list[float]:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Hi {n}"},
                {"role": "assistant", "content": "Ho, ho."},
            ]
        }
        for n in range(4)
    ]
    customize.train(
        model=str(model.path),
        data=rows,
        method="sft",
        to=str(to),
        backend=backend,
        backend_options=options,
        options={"batch_size": 2, "steps": 3, "lr": 0.01},
    )
    lines = (to / "metrics.jsonl").read_text().splitlines()
    return [found["loss"] for line in lines if "loss" in (found := json.loads(line))]


@pytest.mark.parametrize(
    ("switches", "layers"),
    [
        ({"train_mlp": False}, {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ({"train_attn": False}, {"gate_proj", "up_proj", "down_proj"}),
    ],
)
def test_only_the_layers_that_were_asked_for_are_trained(
    tmp_path: Path, model: ModelFolder, switches: dict[str, bool], layers: set[str]
) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path, CPU(dtype="float32"), model=model) as app:
            asking = Asking(app)
            said = await asking.told(
                "create_model",
                session_id=await asking.session(),
                model_seq_id=0,
                base_model="toy",
                lora_config={"rank": 2, **switches},
            )
            made = (await asking.result(said["request_id"])).json["model_id"]
            await asking.do("save_weights", made, path="first")

    asyncio.run(through_the_server())
    (file,) = tmp_path.rglob("adapter_config.json")
    assert set(json.loads(file.read_text())["target_modules"]) == layers
