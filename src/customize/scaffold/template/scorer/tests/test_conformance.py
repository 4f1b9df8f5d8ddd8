"""The rules of customize that a scorer must keep."""

from customize.testing import conformance

QUESTION = {"role": "user", "content": "Which pizza is without meat?"}
ROW = {"messages": [QUESTION], "terms": ["Margherita", "Funghi"]}
ROWS = {"example": [ROW]}

test_plugin = conformance(plugin="acme_example._plugin", on=ROWS)
