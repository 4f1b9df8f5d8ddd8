"""The rules of customize that a backend must keep."""

from pathlib import Path
from tempfile import mkdtemp

from customize.testing import conformance, write_tiny_model

MODEL = write_tiny_model(Path(mkdtemp(), "model"), num_layers=0)

test_plugin = conformance(plugin="acme_mlx_like._plugin", on={"mlx-like": MODEL.path})
