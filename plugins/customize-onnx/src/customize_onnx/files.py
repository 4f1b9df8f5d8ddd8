"""What the files of a package are called. Knows nothing of what is in them."""

from __future__ import annotations

GRAPH = "model.onnx"
PLAIN = "plain.onnx"  # over the same weights, without inputs for adapters
WEIGHTS = "model.onnx.data"
ADAPTERS = "adapters"
ADAPTER = ".onnx_adapter"
KEPT_AS = "weights"  # in a graph's metadata: float32, float16, int8 or int4
