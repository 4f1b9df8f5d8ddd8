"""The plugin keeps the rules of plugins and backends, in both types that it computes in."""

from __future__ import annotations

from customize.testing import conformance
from customize_torch.backend import CPU

test_plugin = conformance(plugin="customize_torch._plugin")
test_float32 = conformance(backend=CPU(dtype="float32", token_budget=64))
test_bfloat16 = conformance(backend=CPU(dtype="bfloat16", recompute="always"))
