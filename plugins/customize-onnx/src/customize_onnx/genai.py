"""``genai_config.json``: what onnxruntime-genai reads of a folder. Knows no graph."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from customize import Exportable
from customize_onnx.architecture import Architecture

FILE = "genai_config.json"


def write_config(
    folder: Path, shape: Architecture, source: Exportable, context: int, graph: str
) -> None:
    """Say which file the graph is, how its inputs are called, and when an answer ends."""
    config = json.loads((source.model.path / "config.json").read_text("utf-8"))
    stops = list(source.renderer.stop_tokens)
    model = {
        "type": shape.family,
        "vocab_size": shape.vocabulary,
        "context_length": context,
        "bos_token_id": config.get("bos_token_id") or stops[0],
        "eos_token_id": stops,
        "pad_token_id": stops[0],
        "decoder": _decoder(shape, graph),
    }
    search = {
        "do_sample": False,
        "max_length": context,
        # Keys and values of a run are new arrays: rows of unequal length may join a batch.
        "past_present_share_buffer": False,
    }
    said = {"model": model, "search": search}
    (folder / FILE).write_text(json.dumps(said, indent=1), "utf-8")


def stops_of(config: Mapping[str, Any]) -> frozenset[int]:
    """Tokens at which it ends an answer; it takes one as a number too."""
    ends = config["model"].get("eos_token_id", [])
    return frozenset(ends if isinstance(ends, list) else [ends])


def _decoder(shape: Architecture, graph: str) -> dict[str, Any]:  # JSON
    return {
        "filename": graph,
        "session_options": {"provider_options": []},
        "hidden_size": shape.channels,
        "head_size": shape.head_dim,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_heads,
        "num_hidden_layers": len(shape.layers),
        "inputs": {
            "input_ids": "input_ids",
            "attention_mask": "attention_mask",
            "past_key_names": "past_key_values.%d.key",
            "past_value_names": "past_key_values.%d.value",
        },
        "outputs": {
            "logits": "logits",
            "present_key_names": "present.%d.key",
            "present_value_names": "present.%d.value",
        },
    }
