"""The plugin keeps the rules of plugins, methods and scorers."""

from __future__ import annotations

from customize.testing import conformance
from customize_rag.method import RAG

ROWS = [
    {
        "messages": [{"role": "user", "content": "When do you open?"}],
        "passages": ["We open at 7:40 am.", "We close at 9 pm."],
        "answer": answer,
        "supporting": [1] if answer else [],
    }
    for answer in ("7:40 am", None)
]
test_plugin = conformance(plugin="customize_rag._plugin", on={"grounded": ROWS})
test_with_replay = conformance(method=RAG(replay=0.3, per_context=2, batch_size=3))
test_without = conformance(method=RAG(replay=0.0, per_context=1, batch_size=8))
test_with_preference = conformance(
    method=RAG(
        replay=0.0, per_context=1, preference="dta", preference_share=0.4, preference_steps=2
    )
)
