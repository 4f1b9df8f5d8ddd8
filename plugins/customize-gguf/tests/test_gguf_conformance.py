"""The plugin keeps the rules of plugins and exporters: beside its base, alone, and merged."""

from __future__ import annotations

import pytest

from customize.testing import conformance
from customize_gguf.exporter import GGUF

pytest.importorskip("xllamacpp")
pytestmark = pytest.mark.slow

test_plugin = conformance(plugin="customize_gguf._plugin")
test_alone = conformance(exporter=GGUF(dtype="f32", base=False))
test_merged = conformance(exporter=GGUF(dtype="q8_0", merged=True))
