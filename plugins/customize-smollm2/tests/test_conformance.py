"""The plugin keeps the rules of plugins and models."""

from __future__ import annotations

from customize.testing import conformance

test_plugin = conformance(plugin="customize_smollm2._plugin")
