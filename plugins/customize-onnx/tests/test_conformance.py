"""The plugin keeps the rules of plugins, and of exporters and runtimes in each way it writes."""

from __future__ import annotations

import pytest

from customize.testing import conformance
from customize_onnx.exporter import ONNX

pytestmark = pytest.mark.slow

test_plugin = conformance(plugin="customize_onnx._plugin")
test_beside = conformance(exporter=ONNX())
test_merged = conformance(exporter=ONNX(merged=True, weights="float32"))
test_int8 = conformance(exporter=ONNX(weights="int8"))
