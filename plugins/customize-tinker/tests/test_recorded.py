"""The backend ``tinker`` against recorded traffic: it asks as the official client asks, and makes
of the answers what that makes of them.

The recordings, in ``traffic``, are by ``record_traffic.py``, which says how to make them anew.
"""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from replaying import Replay, as_json, exchanges, replaying

from customize import (
    PPO,
    AdamW,
    BackendError,
    Batch,
    CrossEntropy,
    DataError,
    Engine,
    ImportanceSampling,
    LoRA,
    Prompt,
    Sampling,
    Session,
)
from customize.testing import write_tiny_model
from customize_tinker.client import connection, heart
from customize_tinker.client.backend import Tinker
from customize_tinker.requests import decode_forward_backward

SESSION = "5e551075e551075e551075e551075e55"
STEP = AdamW(lr=0.001, beta1=0.9, beta2=0.95, eps=1e-8, weight_decay=0.01, max_grad_norm=1.0)
WHOLE = ([5, 6, 7, 8], {"weights": [0.0, 0.0, 1.0, 0.5]})
SHORT = ([9, 4, 3], {"weights": [0.0, 1.0, 1.0]})
POLICY = (
    [5, 6, 7, 8],
    {
        "weights": [0.0, 1.0, 1.0, 1.0],
        "sampling_logprobs": [0.0, -1.0, -2.0, -3.0],
        "advantages": [0.0, 1.0, -1.0, 0.5],
    },
)
# What says nothing of the operation: how results are fetched, and what an adapter is not put on.
BESIDE = ("type", "allow_metadata_only", "overwrite", "kind", "optimizer_config")
DEFAULTS = {"temperature": 1.0, "top_k": -1, "top_p": 1.0}


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_API_KEY", "tml-recorded")


pytestmark = pytest.mark.usefixtures("key")


def begun(replay: Replay, folder: Path) -> tuple[Engine, Session]:
    engine = Tinker(url=replay.url, base_model="recorded").load(write_tiny_model(folder / "tiny"))
    return engine, engine.open(LoRA(rank=8), seed=3)


def said(value: Any) -> Any:
    """What a request asks for: without defaults, and in no order."""
    if isinstance(value, dict):
        kept = {name: said(inner) for name, inner in value.items() if name not in BESIDE}
        if "sampling_params" in kept:
            kept["sampling_params"] = DEFAULTS | kept["sampling_params"]
        if "lora_config" in kept:
            kept["lora_config"] = {name: kept["lora_config"][name] for name in ("rank", "seed")}
        return {name: inner for name, inner in kept.items() if inner or name == "values"}
    return [said(one) for one in value] if isinstance(value, list) else value


def check_asked(replay: Replay) -> None:
    """Each operation once, or as often as the recorded client asked."""
    for place, expected in replay.expected.items():
        if place.split()[0] in ("client/config", "create_session", "retrieve_future"):
            assert replay.asked[place], f"{place} was not asked for"
            continue
        assert said(replay.asked[place]) == said(expected), place
    assert "session_heartbeat" not in replay.asked  # not in the first ten seconds


def check_logprobs(found: Any, expected: list[list[float]], batch: Batch) -> None:
    whole = np.concatenate([[0.0, *one] for one in expected])
    np.testing.assert_array_equal(found, np.where(batch.scored, whole, 0.0))


def test_what_is_trained_is_asked_for_as_recorded(tmp_path: Path) -> None:
    with replaying("training") as replay:
        _, session = begun(replay, tmp_path)
        batch, policy = Batch.from_sequences([WHOLE, SHORT]), Batch.from_sequences([POLICY])
        first = session.forward_backward(batch, CrossEntropy())
        stepped = session.optim_step(STEP)
        second = session.forward_backward(policy, ImportanceSampling())
        third = session.forward_backward(policy, PPO(low=0.8, high=1.2))
        again = session.optim_step(STEP)
        ahead = session.forward(batch)
        assert not [place for place in replay.asked if place.startswith("retrieve_future learn")]
        made = replay.made
        for handle, name, of in (
            (first, "cross_entropy", batch),
            (second, "importance_sampling", policy),
            (third, "ppo", policy),
        ):
            output = handle.result()
            assert output.loss == made[name]["loss"]
            check_logprobs(output.logprobs, made[name]["logprobs"], of)
        assert [stepped.result(), again.result()] == made["norms"]
        check_logprobs(ahead.result(), made["forward"]["logprobs"], batch)
        (tmp_path / "kept").mkdir()
        session.save(tmp_path / "kept")
        assert made["saved"] in (tmp_path / "kept" / "state.json").read_text("utf-8")
        check_asked(replay)


def test_what_is_sampled_is_asked_for_as_recorded(tmp_path: Path) -> None:
    """Told to come later it does, when it was told to; a result that is lost is drawn anew."""
    with replaying("sampling") as replay:
        _, session = begun(replay, tmp_path)
        snapshot, made = session.snapshot(), replay.made
        began = time.monotonic()
        prompt, sampling = (
            Prompt([5, 6, 7], n=2, seed=11),
            Sampling(max_tokens=4, prompt_logprobs=True),
        )
        (drawn,) = snapshot.sample([prompt], sampling).result()
        assert time.monotonic() - began >= 1.0  # retry-after
        assert [one.tokens.tolist() for one in drawn] == made["tokens"]
        assert [one.sampling_logprobs.tolist() for one in drawn] == made["logprobs"]
        assert [one.stop_reason for one in drawn] == made["stops"]
        for one in drawn:
            assert one.prompt_logprobs is not None
            assert one.prompt_logprobs.tolist() == [0.0, *made["prompt_logprobs"][1:]]
        batch = Batch.from_sequences([([5, 6, 7, 8], {"weights": [0.0, 1.0, 1.0, 1.0]})])
        check_logprobs(snapshot.forward(batch).result(), [made["scores"][1:]], batch)
        check_asked(replay)


def test_operations_that_fail_say_why_and_others_go_on(tmp_path: Path) -> None:
    """The recorded client raises for each as well; whose fault it is decides what is raised."""
    batch = Batch.from_sequences([WHOLE])
    with replaying("failing") as replay:
        _, session = begun(replay, tmp_path)
        for number, kind, message in (
            (1, DataError, "what went wrong"),
            (2, BackendError, "what went wrong"),
            (3, BackendError, "what went wrong"),
            (4, BackendError, "goes on from the last checkpoint"),
            (5, BackendError, "it cannot be read"),
        ):
            assert replay.made["errors"][str(number)] != "none"
            with pytest.raises(kind, match=message):
                session.forward_backward(batch, CrossEntropy()).result()
        step = AdamW(lr=1e-4, beta2=0.95, eps=1e-12, weight_decay=0.0, max_grad_norm=0.0)
        assert session.optim_step(step).result() == replay.made["step"]["grad_norm"]
        check_asked(replay)


def test_more_than_a_service_takes_goes_in_parts(tmp_path: Path) -> None:
    """With the numbers that the recorded client gives them, whose first part comes last."""
    rows = [([n, n + 1, n + 2], {"weights": [0.0, 1.0, 1.0]}) for n in range(5)]
    batch = Batch.from_sequences(rows)
    with replaying("in-parts") as replay:
        _, session = begun(replay, tmp_path)
        output = session.forward_backward(batch, CrossEntropy()).result()
        made = replay.made["cross_entropy"]
        assert output.loss == pytest.approx(made["loss"])
        check_logprobs(output.logprobs, made["logprobs"], batch)
        check_asked(replay)


def test_a_key_is_given_for_one_that_ends_soon(tmp_path: Path) -> None:
    with replaying("short-keys") as replay:
        begun(replay, tmp_path)
        check_asked(replay)
        recorded = {one["place"]: one["key"] for one in exchanges("short-keys")}
        assert replay.keys == recorded
        assert len(set(recorded.values())) == 2


def test_a_session_is_kept_alive_until_the_service_says_that_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heart, "_BEAT_S", 0.02)
    with replaying("training") as replay:
        alive = {"status": 200, "headers": {}, "answer": {"type": "session_heartbeat"}}
        over = {"status": 410, "headers": {}, "answer": {"detail": "this session is over"}}
        replay.recorded["session_heartbeat"].extend([alive, alive, over, alive])
        engine, _ = begun(replay, tmp_path)
        time.sleep(1.0)
        assert replay.asked["session_heartbeat"] == [{"session_id": SESSION}] * 3
        del engine


@pytest.mark.parametrize("scene", ["training", "in-parts", "failing"])
def test_bytes_of_the_official_client_are_read_as_its_own_package_reads_them(scene: str) -> None:
    found = [one for one in exchanges(scene) if "asked_in_bytes" in one]
    for one in found:
        raw = base64.b64decode(one["asked_in_bytes"])
        assert as_json(decode_forward_backward(raw)) == one["asked"]
    assert len(found) >= 3


@pytest.mark.parametrize(
    ("status", "headers"),
    [(402, {}), (401, {}), (429, {"x-should-retry": "false"}), (503, {"x-should-retry": "false"})],
)
def test_a_service_that_says_no_for_good_is_not_asked_again(
    tmp_path: Path, status: int, headers: dict[str, str]
) -> None:
    with replaying("training") as replay:
        _, session = begun(replay, tmp_path)
        refusal = {"status": status, "headers": headers, "answer": {"detail": "for good"}}
        replay.recorded["optim_step 1"].append(refusal)
        with pytest.raises(BackendError, match=f"answers {status} .*for good"):
            session.optim_step(STEP)
        assert len(replay.asked["optim_step 1"]) == 1


def test_a_result_that_is_lost_each_time_is_given_up(tmp_path: Path) -> None:
    with replaying("sampling") as replay:
        _, session = begun(replay, tmp_path)
        snapshot = session.snapshot()
        gone = {"status": 410, "headers": {}, "answer": {"detail": "gone"}}
        for number in range(connection._TRIES):
            promised = {"status": 200, "headers": {}, "answer": {"request_id": f"lost-{number}"}}
            replay.recorded[f"asample {number}"].clear()
            replay.recorded[f"asample {number}"].append(promised)
            replay.recorded[f"retrieve_future lost-{number}"].append(gone)
        with pytest.raises(BackendError, match="lost the result of a sample"):
            snapshot.sample([Prompt([5, 6, 7])], Sampling(max_tokens=4)).result()
