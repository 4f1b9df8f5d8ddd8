"""Checkpoints: names, times, lists, and files for others."""

from __future__ import annotations

import asyncio
import io
import tarfile
import time
from pathlib import Path

import pytest
from wire_client import HELLO, Asking, OperationFailed, datum, serving


def test_a_loaded_checkpoint_goes_on_as_what_was_saved(tmp_path: Path) -> None:
    """With its optimizer bit for bit; without, the weights are the same and the step is not."""

    async def through_the_server() -> tuple[list[float], list[float], list[float]]:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            session = await asking.session()
            model = await asking.model(session)
            await _learn(asking, model)
            path = (await asking.do("save_weights", model, path="here"))["path"]
            loaded = []
            for number, optimizer in ((1, True), (2, False)):
                said = await asking.told(
                    "load_weights",
                    session_id=session,
                    model_seq_id=number,
                    path=path,
                    optimizer=optimizer,
                )
                made = (await asking.result(said["request_id"])).json
                assert made["model_id"] == f"{session}:train:{number}"
                loaded.append(await _learn(asking, made["model_id"]))
            return await _learn(asking, model), loaded[0], loaded[1]

    went_on, exactly, anew = asyncio.run(through_the_server())
    assert exactly == went_on
    assert anew[0] == pytest.approx(went_on[0], abs=1e-6)
    assert anew[1] != went_on[1]


async def _learn(asking: Asking, model: str) -> list[float]:
    losses = []
    for _ in range(2):
        output = await asking.learn(model, [datum(HELLO)])
        losses.append(output.metrics["loss:sum"])
        await asking.step(model)
    return losses


def test_a_name_is_taken_once_unless_it_is_to_be_overwritten(tmp_path: Path) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            await asking.do("save_weights", model, path="here", user_metadata={"a": "1"})
            with pytest.raises(OperationFailed, match="take another name, or overwrite"):
                await asking.do("save_weights", model, path="here")
            await asking.do("save_weights", model, path="here", overwrite=True)
            listed = await asking.request("GET", f"training_runs/{model}/checkpoints")
            (found,) = listed.json["checkpoints"]
            assert found["checkpoint_id"] == "weights/here"
            assert found["user_metadata"] is None

    asyncio.run(through_the_server())


def test_a_checkpoint_is_gone_when_its_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            for name, ttl in (("short", 60), ("long", 7200), ("changed", 60)):
                await asking.do("save_weights", model, path=name, ttl_seconds=ttl)
            changing = f"training_runs/{model}/checkpoints/weights/changed/ttl"
            assert (await asking.request("PUT", changing, b'{"ttl_seconds": null}')).status == 200
            now = time.time()
            monkeypatch.setattr(time, "time", lambda: now + 3600)
            listed = (await asking.request("GET", "checkpoints")).json["checkpoints"]
            assert {one["checkpoint_id"] for one in listed} == {"weights/long", "weights/changed"}
            path = f"tinker://{model}/weights/short"
            with pytest.raises(OperationFailed, match="there is no checkpoint"):
                await asking.do("load_weights", model, path=path, optimizer=True)

    asyncio.run(through_the_server())


def test_external_weights_are_downloaded_by_signed_addresses_alone(tmp_path: Path) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking, nobody = Asking(app), Asking(app, "")
            model = await asking.model(await asking.session())
            await asking.do("save_weights_external", model, path="out")
            asked = f"training_runs/{model}/checkpoints/external_weights/out/external_weights_urls"
            (address,) = (await asking.request("GET", asked)).json["urls"].values()
            prefix = "http://127.0.0.1:8000/api/v1/"
            assert address.startswith(prefix)
            path = address.removeprefix(prefix)
            found = await nobody.request("GET", path)
            (kept,) = tmp_path.rglob("external_weights/out/adapter/*")
            assert (found.status, found.body) == (200, kept.read_bytes())
            for wrong in (path[:-1], path.replace("until=", "until=9"), path.partition("?")[0]):
                assert (await nobody.request("GET", wrong)).status in (403, 422)

    asyncio.run(through_the_server())


def test_a_checkpoint_is_downloaded_as_one_archive(tmp_path: Path) -> None:
    """As clients up to 0.34 take it, which look for a mark that it is complete."""

    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            await asking.do("save_weights_for_sampler", model, path="out")
            asked = f"training_runs/{model}/checkpoints/sampler_weights/out/archive"
            told = (await asking.request("GET", asked)).json
            path = told["url"].removeprefix("http://127.0.0.1:8000/api/v1/")
            found = await Asking(app, "").request("GET", path)
            (kept,) = tmp_path.rglob("sampler_weights/out/adapter")
            with tarfile.open(fileobj=io.BytesIO(found.body)) as packed:
                packed.extractall(tmp_path / "out", filter="data")
            (tmp_path / "out" / "checkpoint_complete").unlink()
            ours, theirs = (
                {f.name: f.read_bytes() for f in folder.iterdir()}
                for folder in (kept, tmp_path / "out")
            )
            assert theirs == ours
            thief = Asking(app, "tml-another-tenant")
            assert (await thief.request("GET", asked)).status == 422

    asyncio.run(through_the_server())


def test_an_adapter_for_sampling_has_no_optimizer_to_go_on_with(tmp_path: Path) -> None:
    async def through_the_server() -> None:
        async with serving(tmp_path) as app:
            asking = Asking(app)
            model = await asking.model(await asking.session())
            path = (await asking.do("save_weights_for_sampler", model, path="x"))["path"]
            with pytest.raises(OperationFailed, match="has no optimizer"):
                await asking.do("load_weights", model, path=path, optimizer=True)
            await asking.do("load_weights", model, path=path)

    asyncio.run(through_the_server())
