"""DPO held to the rules of methods and of plugins, with a reference and without."""

from __future__ import annotations

from customize.testing import conformance
from customize_dpo.method import DPO

test_dpo = conformance(method=DPO(batch_size=5, epochs=1.5))
test_orpo = conformance(method=DPO(loss="orpo", batch_size=5, epochs=1.5))
test_plugin = conformance(plugin="customize_dpo._plugin")
