"""Tokenizers and templates are written so that they come back as they were."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import customize
from customize import ChatRenderer, Exportable
from customize.packaging.prompts import hard_questions
from customize.packaging.tokenizer import write_tokenizer
from customize.testing import write_tiny_model

TEXTS = [
    "1, 2,\n\n 3",
    "12.50 €",
    "x = [1, 2]",
    "日本 🍕",
    "  two  spaces",
    "won't I'll",
    "2024-05",
]
ENCODE = """
import json, sys
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], local_files_only=True)
texts = json.loads(sys.argv[2])
print(json.dumps([tokenizer(text, add_special_tokens=False).input_ids for text in texts]))
"""


def test_what_is_written_renders_the_same(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model").path
    config = model / "tokenizer_config.json"
    told = json.loads(config.read_text())
    told["chat_template"] = told["chat_template"].replace("\n", "\r\n") + "{# \r\n #}"
    told["tokenizer_class"] = "GPT2Tokenizer"
    config.write_text(json.dumps(told), "utf-8")
    (model / "generation_config.json").write_text('{"temperature": 0.5, "eos_token_id": 243}')
    (tmp_path / "out").mkdir()
    before = ChatRenderer.from_folder(model)
    write_tokenizer(model, tmp_path / "out", (243, 7))
    written = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert written["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert written["chat_template"] == told["chat_template"]
    generation = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert generation == {"temperature": 0.5, "eos_token_id": [243, 7]}
    after = ChatRenderer.from_folder(tmp_path / "out")
    messages = [{"role": "user", "content": text} for text in TEXTS]
    assert after.prompt(messages).tolist() == before.prompt(messages).tolist()


@pytest.mark.slow
def test_a_class_that_drops_the_splitting_of_digits_is_not_kept(tmp_path: Path) -> None:
    """Encoded in a process of its own: what the hub declares gives other tokens there."""
    pytest.importorskip("transformers")
    from tokenizers import Tokenizer

    model = customize.resolve("smollm2").path
    live = Tokenizer.from_file(str(model / "tokenizer.json"))
    wanted = [live.encode(text, add_special_tokens=False).ids for text in TEXTS]
    trap, mended = tmp_path / "trap", tmp_path / "mended"
    for folder in (trap, mended):
        folder.mkdir()
        write_tokenizer(model, folder, (2,))
    config = json.loads((trap / "tokenizer_config.json").read_text())
    (trap / "tokenizer_config.json").write_text(
        json.dumps({**config, "tokenizer_class": "GPT2Tokenizer"})
    )
    assert _encoded(trap) != wanted
    assert _encoded(mended) == wanted


def _encoded(folder: Path) -> list[list[int]]:
    command = [sys.executable, "-c", ENCODE, str(folder), json.dumps(TEXTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: list[list[int]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ({}, 900, 1200),
        ({"sliding_window": 2047}, 2048, 2303),  # as Phi 3
        ({"sliding_window": 2047, "use_sliding_window": False}, 900, 1200),  # as Qwen 2
        ({"sliding_window": None}, 900, 1200),
        ({"sliding_window": 512}, 900, 1200),
        ({"sliding_window": 4000}, 900, 1200),  # as good as none
    ],
    ids=str,
)
def test_the_longest_question_is_longer_than_the_attentions_window(
    tmp_path: Path, said: dict[str, Any], least: int, most: int
) -> None:
    model = write_tiny_model(tmp_path / "model")
    file = model.path / "config.json"
    config = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**config, "max_position_embeddings": 4096, **said}), "utf-8")
    renderer = ChatRenderer.from_folder(model.path)
    source = Exportable("a", model, model.path, renderer)
    long = hard_questions(source)[-1]
    assert long.name == "long"
    assert least <= len(renderer.prompt(long.messages)) <= most


def test_the_longest_question_fits_a_package_of_less_context_than_its_model(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model")
    file = model.path / "config.json"
    config = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**config, "max_position_embeddings": 32_768}), "utf-8")
    source = Exportable("a", model, model.path, ChatRenderer.from_folder(model.path))
    long = hard_questions(source, 600)[-1]
    assert 150 < len(source.renderer.prompt(long.messages)) <= 300
    file.write_text(json.dumps({**config, "model_type": "mistral"}), "utf-8")  # a window of 4,096
    long = hard_questions(source, 4096)[-1]
    assert 900 < len(source.renderer.prompt(long.messages)) <= 1200


def test_hard_questions_are_those_that_the_template_can_write(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model")
    renderer = ChatRenderer.from_folder(model.path)
    source = Exportable("any", model, tmp_path, renderer)
    names = [question.name for question in hard_questions(source)]
    assert {"unicode", "digits", "code", "system", "turns", "control tokens", "long"} <= {*names}
    assert "tools" not in names  # its template drops them
    asked = {question.name: question for question in hard_questions(source)}
    length = len(renderer.prompt(asked["long"].messages))
    assert 150 < length <= 256  # half of what the model can read
    assert "<|end|>" in asked["control tokens"].messages[0]["content"]
    assert not asked["control tokens"].is_plain


WITH_TOOLS = (
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|begin|>{{ m.role }}\n"
    "{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|begin|>assistant\n{% endif %}"
)


def test_every_role_and_tools_are_asked_of_a_template_that_writes_them(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model")
    config = model.path / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "chat_template": WITH_TOOLS}))
    source = Exportable("any", model, tmp_path, ChatRenderer.from_folder(model.path))
    asked = {question.name: question for question in hard_questions(source)}
    roles = {message["role"] for question in asked.values() for message in question.messages}
    assert roles == {"system", "developer", "user", "assistant", "tool"}
    assert {name for name, question in asked.items() if question.tools} == {"tools", "tool result"}
