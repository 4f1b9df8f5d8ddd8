"""The rules of customize that a dataset must keep."""

from customize.testing import conformance

test_plugin = conformance(plugin="acme_example._plugin")
