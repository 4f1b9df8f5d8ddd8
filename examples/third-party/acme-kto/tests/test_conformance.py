"""The rules of customize that a method must keep."""

from customize.testing import conformance

ROWS = [
    {"prompt": f"question {i}?", "completion": "no" if i % 6 else "never", "label": i % 6 > 0}
    for i in range(12)
]

test_plugin = conformance(plugin="acme_kto._plugin", on={"kto": ROWS})
