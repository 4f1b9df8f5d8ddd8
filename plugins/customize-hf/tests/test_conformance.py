"""The plugin keeps the rules of plugins and exporters, for an adapter and for merged weights."""

from __future__ import annotations

import pytest

from customize.testing import conformance
from customize_hf.exporter import HF

pytestmark = pytest.mark.slow

test_plugin = conformance(plugin="customize_hf._plugin")
test_merged = conformance(exporter=HF(merged=True, dtype="bfloat16"))
