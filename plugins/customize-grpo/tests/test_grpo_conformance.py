"""GRPO held to the rules of methods and of plugins: plain, ahead of itself, and with KL."""

from __future__ import annotations

from typing import Any

from toy_rewards import ROWS, likeness, two_turns

from customize.testing import conformance
from customize_grpo.method import GRPO

SMALL: dict[str, Any] = {"batch_size": 3, "group_size": 4, "steps": 3, "max_tokens": 8, "lr": 0.05}

test_plugin = conformance(plugin="customize_grpo._plugin")
test_plain = conformance(method=GRPO(reward=likeness, **SMALL), on=ROWS)
test_ahead = conformance(method=GRPO(reward=likeness, lag=2, refill=1, updates=2, **SMALL), on=ROWS)
test_with_kl = conformance(
    method=GRPO(environment=two_turns, preset="reinforce++", **SMALL),
    on=ROWS,
)
test_with_a_name = conformance(
    method=GRPO(reward="toy_rewards:likeness", preset="grpo", **SMALL), on=ROWS
)
