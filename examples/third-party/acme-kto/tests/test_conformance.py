"""The rules of customize that a method must keep."""

from customize.testing import conformance

ROWS = [
    {"prompt": f"question {i}?", "completion": ("no, never", "yes")[i % 2], "label": bool(i % 2)}
    for i in range(12)
]

test_plugin = conformance(plugin="acme_kto._plugin", on={"kto": ROWS})
