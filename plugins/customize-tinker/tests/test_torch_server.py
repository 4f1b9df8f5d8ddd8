"""The torch engine behind the server does what it does in process, to the bit."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

pytest.importorskip("customize_torch")

import numpy as np
from safetensors.numpy import load_file
from wire_client import HELLO, Asking, datum, serving

from customize import AdamW, Batch, CrossEntropy, LoRA, ModelFolder
from customize.testing.tiny_model import write_tiny_model
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


def test_two_tenants_at_once_get_what_each_gets_alone_to_the_bit(
    tmp_path: Path, model: ModelFolder
) -> None:
    """On one base, with adapters of different ranks."""
    backend = CPU(dtype="float32", threads=1)

    async def losses(asking: Asking, rank: int) -> list[float]:
        trained = await asking.model(await asking.session(), rank=rank)
        return await learn(asking, trained) + await learn(asking, trained)

    async def at_once(folder: Path, *tenants: tuple[str, int]) -> list[list[float]]:
        async with serving(folder, backend, model=model) as app:
            all_ = (losses(Asking(app, key), rank) for key, rank in tenants)
            return await asyncio.gather(*all_)

    tenants = ("tml-tenant-one", 4), ("tml-tenant-two", 16)
    together = asyncio.run(at_once(tmp_path / "both", *tenants))
    alone = [asyncio.run(at_once(tmp_path / one[0], one)) for one in tenants]
    assert [together[:1], together[1:]] == alone
    assert together[0] != together[1]


def test_the_sampler_and_the_trainer_do_not_differ(tmp_path: Path, model: ModelFolder) -> None:
    """What is drawn is as likely to the one as to the other: the KL between them is rounding."""

    async def through_the_server() -> tuple[list[float], list[float]]:
        async with serving(tmp_path, CPU(dtype="float32", threads=1), model=model) as app:
            asking = Asking(app)
            trained = await asking.model(await asking.session())
            await learn(asking, trained)
            kept = await asking.do("save_weights_for_sampler", trained, sampling_session_seq_id=0)
            drawn = await asking.sample(
                kept["sampling_session_id"], HELLO, 8, params={"max_tokens": 12, "stop": []}
            )
            told: list[float] = []
            scored: list[float] = []
            for one in drawn.completions:
                told += one.sampling_logprobs.tolist()
                whole = datum([*HELLO, *one.tokens.tolist()])
                output = await asking.learn(trained, [whole], forward_only=True)
                scored += output.logprobs[0][-12:].tolist()
            return told, scored

    told, scored = np.asarray(asyncio.run(through_the_server()))
    assert len(told) == 96
    np.testing.assert_allclose(told, scored, atol=1e-5)
    assert abs((told - scored).mean()) < 1e-6  # of samples of the one: the KL to the other


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
