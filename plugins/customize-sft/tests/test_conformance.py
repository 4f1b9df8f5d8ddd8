"""The plugin keeps the rules of plugins and methods, with replay too."""

from __future__ import annotations

from customize.testing import conformance
from customize_sft.method import SFT

test_plugin = conformance(plugin="customize_sft._plugin")
test_with_replay = conformance(method=SFT(epochs=1, batch_size=4, replay=0.25, kl_to_base=0.5))
test_constant_rate = conformance(method=SFT(epochs=2, batch_size=5, schedule="constant"))
