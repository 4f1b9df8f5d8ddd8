"""The presets beside verl's own functions, whose numbers on the same episodes are written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_grpo_algebra import Fixed, in_float64
from toy_rewards import likeness

from customize import Episode, Spoken
from customize_grpo.method import GRPO
from customize_grpo.presets import PRESETS

TABLE = json.loads(Path(__file__).with_name("verl_losses.json").read_text("utf-8"))


def episode_of(number: int, told: dict[str, Any]) -> Episode:
    """What the table says of one, behind a token of a prompt."""
    sampled = np.array([False, *told["sampled"]])
    logprobs = np.array([0.0, *told["old"]], np.float32) * sampled
    spoken = Spoken(np.ones(len(sampled), np.int32), sampled, logprobs)
    return Episode(
        place=told["group"], group=told["group"], index=number, seed=0, sequences=(spoken,),
        reward=told["reward"], parts={}, turns=1, stop="done", faults={}, calls={}, messages=(),
        seconds=0.0,
    )  # fmt: skip


@pytest.mark.parametrize("case", TABLE["objectives"], ids=lambda case: case["name"])
def test_loss_and_gradient_are_verls(case: dict[str, Any]) -> None:
    """In float64, with holes where a tool spoke and groups of unequal size."""
    method = GRPO(
        reward=likeness, preset=case["preset"], max_tokens=TABLE["horizon"], **case["options"]
    )
    episodes = [episode_of(*one) for one in enumerate(TABLE["episodes"])]
    now, reference = (
        np.concatenate([[0.0, *told[name]] for told in TABLE["episodes"]])
        for name in ("now", "reference")
    )
    batch, _ = method._batch(Fixed(reference), episodes)  # type: ignore[arg-type]
    exact = in_float64(method, batch, episodes, reference)
    loss, gradient_N = method.objective().evaluate(now, exact)
    wanted = np.concatenate([[0.0, *one] for one in case["gradient"]])
    nearness = 3e-9 if method.per == "sequence" else 1e-9  # verl adds 1e-8 to a sequence's length
    # Its masked mean adds 1e-8 to the number of tokens, which shows where terms cancel out.
    assert loss == pytest.approx(case["loss"], rel=nearness, abs=1e-10)
    assert np.abs(gradient_N - wanted).max() <= nearness * np.abs(wanted).max()


def test_what_verl_has_no_function_for_is_known() -> None:
    assert set(PRESETS) - {case["preset"] for case in TABLE["objectives"]} == {"scalerl"}
