"""Groups of two, three and four processes compute what one does, and end together."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch")

import torchrun_work as work
from torchrun_groups import EACH, GROUPS, KIT, MODEL, NATIVE, SAVED, START

from customize import Engine, ModelFolder
from customize.testing.tiny_model import write_tiny_model
from customize_torch.backend import CPU

if sys.platform != "linux":
    pytest.skip("groups are forked as Linux does", allow_module_level=True)
Numbers = Mapping[str, npt.NDArray[Any]]
# Of what a group computes, rtol and atol by the first word of its name.
ALIKE = {
    "loss": (1e-6, 0.0),
    "logprobs": (1e-6, 2e-6),
    "pending": (1e-6, 0.0),
    "sampled": (1e-5, 1e-5),
    "norms": (2e-5, 0.0),
    "forward": (1e-7, 5e-5),
}
SCRIPT = Path(__file__).with_name("torchrun_groups.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("groups")
    for name, more in ((MODEL, {}), (NATIVE, {"rope_theta": 10000.0})):
        write_tiny_model(made / name)
        config = json.loads((made / name / "config.json").read_text())
        (made / name / "config.json").write_text(json.dumps({**config, **more}))
    return made


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return CPU(**EACH).load(ModelFolder(folder / MODEL, "tiny", "tiny"))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def place(folder: Path, engine: Engine) -> Path:
    """Where every group has been at work, from what one process had saved."""
    work.begin(engine, folder / START)
    _run(folder, *(name for name in GROUPS if name != KIT))
    return folder


@pytest.fixture(scope="module")
def alone(place: Path, engine: Engine) -> Numbers:
    """The same work in this process."""
    return work.everything(engine, place / START, None)


def _run(folder: Path, *names: str) -> None:
    subprocess.run([sys.executable, SCRIPT, folder, *names], check=True, timeout=300)


def numbers(place: Path, name: str) -> Numbers:
    errors = "".join(file.read_text() for file in sorted((place / name).glob("errors-*")))
    assert ended(place, name) == {str(i): 0 for i in range(GROUPS[name].world)}, errors
    with np.load(place / name / "numbers.npz") as found:
        return dict(found)


def ended(place: Path, name: str) -> Any:
    return json.loads((place / name / "ended.json").read_text())


def told(place: Path, name: str, rank: int = 0) -> str:
    return (place / name / f"errors-{rank}").read_text()


@pytest.mark.parametrize("name", ["two", "four", "sharded"])
class TestAGroup:
    def test_its_losses_are_those_of_one_process(
        self, place: Path, alone: Numbers, name: str
    ) -> None:
        found = numbers(place, name)
        for key in work.LOSSES:
            np.testing.assert_allclose(
                found[f"loss {key}"], alone[f"loss {key}"], rtol=1e-6, err_msg=key
            )
            np.testing.assert_allclose(
                found[f"logprobs {key}"], alone[f"logprobs {key}"], rtol=1e-6, atol=2e-6
            )

    def test_its_gradients_are_those_of_one_process(
        self, place: Path, alone: Numbers, name: str
    ) -> None:
        found = numbers(place, name)
        without = "gradient full" if name == "sharded" else "nothing"
        compared = [k for k in alone if k.startswith("gradient ") and not k.startswith(without)]
        assert len(compared) > 7 * 2 * len(work.LOSSES)
        for key in compared:
            size = np.abs(alone[key]).max()
            assert np.abs(found[key] - alone[key]).max() <= 1e-6 * size, key
            assert size > 0, key
        np.testing.assert_allclose(found["pending"], alone["pending"], rtol=1e-6)

    def test_it_draws_what_one_process_draws(self, place: Path, alone: Numbers, name: str) -> None:
        found = numbers(place, name)
        drawn = [key for key in alone if key.startswith("tokens ")]
        assert len(drawn) == len(work.SAMPLINGS) * sum(p.n for p in work.PROMPTS)
        for key in drawn:
            np.testing.assert_array_equal(found[key], alone[key])
        for key in (key for key in alone if key.startswith("sampled ")):
            np.testing.assert_allclose(found[key], alone[key], rtol=1e-5, atol=1e-5)

    def test_it_gives_the_same_bits_again(self, place: Path, name: str) -> None:
        assert numbers(place, name)["unlike"].tolist() == []

    def test_its_steps_lead_where_one_process_goes(
        self, place: Path, alone: Numbers, name: str
    ) -> None:
        found = numbers(place, name)
        np.testing.assert_allclose(found["norms"], alone["norms"], rtol=2e-5)
        for key in ("forward now", "forward kept", "forward base"):
            np.testing.assert_allclose(found[key], alone[key], atol=5e-5, err_msg=key)


def test_our_own_decoder_sharded_computes_what_it_does_alone(place: Path) -> None:
    given = ModelFolder(place / NATIVE, "tiny", "tiny")
    engine = CPU(**EACH).load(given)  # type: ignore[arg-type]
    assert "customize" in type(engine.base().policy.base.decoder).__module__  # type: ignore[attr-defined]
    alone = work.everything(engine, place / START, None)
    found = numbers(place, "sharded, our decoder")
    compared = [key for key in alone if not key.startswith(("gradient full", "weights"))]
    assert {key.split()[0] for key in compared} == {"gradient", "tokens", *ALIKE}
    for key in compared:
        what = key.split()[0]
        if what == "tokens":
            np.testing.assert_array_equal(found[key], alone[key])
        elif what == "gradient":
            assert np.abs(found[key] - alone[key]).max() <= 1e-6 * np.abs(alone[key]).max(), key
        else:
            rtol, atol = ALIKE[what]
            np.testing.assert_allclose(found[key], alone[key], rtol=rtol, atol=atol, err_msg=key)


def test_over_a_sharded_base_all_hold_the_same_adapter_and_each_its_share(
    place: Path, alone: Numbers, engine: Engine
) -> None:
    """Where LoRA lies in a sharded model as its parameters, losses are right and its gradients
    wrong, and differ from process to process.
    """
    found = numbers(place, "sharded")
    assert len(found["digests"]) == 2
    assert len(set(found["digests"].tolist())) == 1
    assert found["held"] == pytest.approx(0.5, abs=0.02)
    whole = engine.base().distributions(np.arange(9, dtype=np.int32), 3)
    np.testing.assert_allclose(found["distributions"], whole, atol=1e-5)
    assert any(key.startswith("gradient full") for key in alone)
    assert not any(key.startswith("gradient full") for key in found)


def test_what_two_saved_goes_on_in_one_two_and_three(place: Path, engine: Engine) -> None:
    one = work.gone_on(engine, place / SAVED)
    two, three = numbers(place, "two go on"), numbers(place, "three go on")
    assert one["seed"] == two["seed"] == three["seed"] == 3
    for found in (two, three):
        np.testing.assert_allclose(found["norms"], one["norms"], rtol=2e-5)
        np.testing.assert_allclose(found["forward now"], one["forward now"], atol=5e-5)
        np.testing.assert_allclose(found["forward kept"], one["forward kept"], atol=5e-6)


def test_what_one_process_refuses_leaves_all_ready(place: Path, alone: Numbers) -> None:
    found = numbers(place, "refused")
    assert "tokens must be 0 to 255" in found["told"][0]
    assert np.isfinite(found["norms"]).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("killed", "process 1"),
        ("raising", "RuntimeError: the cable was pulled"),
        ("first raising", "raised RuntimeError: the cable was pulled: all processes end"),
        ("sharded, first raising", "raised RuntimeError: the cable was pulled: all processes end"),
        ("sharded, second raising", "raised RuntimeError: the cable was pulled: all processes end"),
        ("sharded, first out of memory", "OutOfMemoryError: memory does not hold 64 tokens"),
        ("sharded, second out of memory", "OutOfMemoryError: memory does not hold 64 tokens"),
        ("out of memory in a step", "BackendError: process 1: memory does not hold a step of"),
        ("hanging", "did not answer within timeout_s=2"),
        ("stopped", "process 1 gave no sign of life for 2 s"),
        ("drifting", "process 1 holds other weights than process 0, 1 steps after"),
        ("drifting later", "process 1 holds other weights than process 0, 4 steps after"),
    ],
)
def test_a_fault_of_one_ends_all_with_a_message(place: Path, name: str, message: str) -> None:
    assert message in told(place, name)
    assert ended(place, name)["0"] == 1


def test_a_base_in_pieces_is_not_advised_what_it_does_already_or_cannot(place: Path) -> None:
    advised = told(place, "sharded, first out of memory")
    there = "--set backend=torchrun --set backend_options.on_options."
    assert f"{there}token_budget=40 (the same result, a little slower)" in advised
    assert "recompute" not in advised
    assert "base=" not in advised


@pytest.mark.parametrize("name", [name for name in GROUPS if name.startswith("sharded, ")])
def test_a_fault_in_a_pass_that_all_take_is_told_before_anyone_gives_up_waiting(
    place: Path, name: str
) -> None:
    assert "did not answer" not in "".join(told(place, name, rank) for rank in (0, 1))


@pytest.mark.slow
def test_two_processes_keep_the_rules_of_backends(folder: Path) -> None:
    _run(folder, KIT)
    found = numbers(folder, KIT)
    assert found["failed"].tolist() == []
    assert len(found["passed"]) > 50
