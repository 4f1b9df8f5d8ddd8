"""The rules of customize that an encoder must keep."""

from customize.testing import conformance

test_plugin = conformance(plugin="acme_example._plugin")
