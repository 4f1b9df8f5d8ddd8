"""The plugin keeps the rules of plugins; the backend those of backends, where there is a GPU."""

from __future__ import annotations

from customize.testing import conformance

test_plugin = conformance(plugin="customize_cuda._plugin")
