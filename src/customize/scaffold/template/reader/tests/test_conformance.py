"""The rules of customize that a reader must keep."""

from pathlib import Path

from customize.testing import conformance

FILES = {"example": Path(__file__).parent / "questions.qa"}

test_plugin = conformance(plugin="acme_example._plugin", on=FILES)
