"""What is proven of a template is proven once a process, for all that it was proven with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from customize.data.rendering import ChatRenderer
from customize.data.rendering.facts import Facts

if TYPE_CHECKING:
    from tests.rendering.conftest import Make


def facts_of(renderer: ChatRenderer) -> Facts:
    return renderer._template(None).facts


def test_a_second_renderer_of_one_folder_takes_the_proof_of_the_first(
    make: Make, tmp_path: Path
) -> None:
    first = facts_of(make("qwen3"))
    again = facts_of(ChatRenderer.from_folder(tmp_path / "model", loss_on="last_turn"))
    assert again is first


def test_a_template_with_other_special_or_stop_tokens_is_proven_anew(
    make: Make, tmp_path: Path
) -> None:
    first = facts_of(make("qwen3"))
    for name, key, value in (
        ("generation_config.json", "eos_token_id", 1),
        ("tokenizer_config.json", "bos_token", "<|im_start|>"),
    ):
        file = tmp_path / "model" / name
        file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
        assert facts_of(ChatRenderer.from_folder(tmp_path / "model")) is not first
    assert facts_of(ChatRenderer.from_folder(tmp_path / "model")).stop_tokens[0] == 1
