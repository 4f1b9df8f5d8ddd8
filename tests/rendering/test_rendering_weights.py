"""Weights, token by token: what the assistant says is trained, and what it is told never is.

Each conversation is written out below as the model sees it, in the order of its tokens, with the
weight that every token of a part must have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from customize import Rendered
from customize.data.rendering import ChatRenderer

if TYPE_CHECKING:
    from tests.rendering.conftest import Make

ASK = {"role": "user", "content": "Where is it?"}
LOOK = {"name": "look", "arguments": {"at": "map"}}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": "abcdefghi", "type": "function", "function": LOOK}],
}
RESULT = {"role": "tool", "name": "look", "tool_call_id": "abcdefghi", "content": "In aisle 4."}
SAY = {"role": "assistant", "content": "Over there."}
DOCUMENTS = [{"title": "Plan", "text": "It is over there."}]

QWEN3 = [
    (0, "<|im_start|>user\n"),
    (0, "Where is it?<|im_end|>\n"),
    (0, "<|im_start|>assistant\n"),
    (1, "<think>\nAsk the map.\n</think>\n\n"),
    (1, '<tool_call>\n{"name": "look", "arguments": {"at": "map"}}\n</tool_call>'),
    (1, "<|im_end|>"),
    (0, "\n"),
    (0, "<|im_start|>user\n"),
    (0, "<tool_response>\nIn aisle 4.\n</tool_response><|im_end|>\n"),
    (0, "<|im_start|>assistant\n"),
    (1, "<think>\nAisle 4.\n</think>\n\n"),
    (1, "Over there."),
    (1, "<|im_end|>"),
    (0, "\n"),
]
GRANITE = [
    (0, "<|start_of_role|>system<|end_of_role|>"),
    (0, "You are a helpful assistant. Answer from the documents.<|end_of_text|>\n"),
    (0, "<|start_of_role|>user<|end_of_role|>"),
    (0, "Where is it?<|end_of_text|>\n"),
    (0, "<|start_of_role|>assistant<|end_of_role|>"),
    (1, '<|tool_call|>[{"name": "look", "arguments": {"at": "map"}}]'),
    (1, "<|end_of_text|>"),
    (0, "\n"),
    (0, '<|start_of_role|>document {"document_id": "1"}<|end_of_role|>\n'),
    (0, "Plan\nIt is over there.<|end_of_text|>\n"),
    (0, "<|start_of_role|>tool_response<|end_of_role|>"),
    (0, "In aisle 4.<|end_of_text|>\n"),
    (0, "<|start_of_role|>assistant<|end_of_role|>"),
    (1, "Over there."),
    (1, "<|end_of_text|>"),
    (0, "\n"),
]
LLAMA3_2 = [
    (0, '{"name": "look", "parameters": dictionary} is how a tool is called.<|eot_id|>'),
    (0, "<|start_header_id|>user<|end_header_id|>\n\n"),
    (0, "Where is it?<|eot_id|>"),
    (0, "<|start_header_id|>assistant<|end_header_id|>\n\n"),
    (1, '{"name": "look", "parameters": {"at": "map"}}'),
    (1, "<|eot_id|>"),
    (0, "<|start_header_id|>ipython<|end_header_id|>\n\n"),
    (0, '"In aisle 4."<|eot_id|>'),
    (0, "<|start_header_id|>assistant<|end_header_id|>\n\n"),
    (1, "Over there."),
    (1, "<|eot_id|>"),
]
SYSTEM = {"role": "system", "content": LLAMA3_2[0][1].removesuffix("<|eot_id|>")}
GPTOSS = [
    (0, "<|start|>user<|message|>Where is it?<|end|>"),
    (0, "<|start|>assistant"),
    (1, "<|channel|>analysis<|message|>Aisle 4.<|end|>"),
    (1, "<|start|>assistant<|channel|>final<|message|>Over there."),
    (1, "<|return|>"),
]


def check(renderer: ChatRenderer, rendered: Rendered, expected: list[tuple[int, str]]) -> None:
    """Every token lies in one part, and has its weight; what comes before the parts has none."""
    texts = [renderer.text_of(token) for token in rendered.tokens[:, None]]
    weights = rendered.weights.tolist()
    left = sum(map(len, texts)) - sum(len(text) for _, text in expected)
    while left > 0:
        left -= len(texts.pop(0))
        assert weights.pop(0) == 0
    for weight, part in expected:
        said = ""
        while len(said) < len(part):
            said += texts.pop(0)
            assert weights.pop(0) == weight, (part, said)
        assert said == part
    assert not texts


def test_qwen_learns_reasoning_and_calls_and_no_results(make: Make) -> None:
    renderer = make("qwen3")
    calling = {**CALL, "reasoning_content": "Ask the map."}
    saying = {**SAY, "reasoning_content": "Aisle 4."}
    check(renderer, renderer.render([ASK, calling, RESULT, saying]), QWEN3)


def test_granite_learns_calls_and_neither_results_nor_documents(make: Make) -> None:
    renderer = make("granite")
    rendered = renderer.render([ASK, CALL, RESULT, SAY], documents=DOCUMENTS)
    check(renderer, rendered, GRANITE)


def test_llama_learns_calls_and_no_results_that_stand_as_calls_do(make: Make) -> None:
    renderer = make("llama3_2")
    check(renderer, renderer.render([SYSTEM, ASK, CALL, RESULT, SAY]), LLAMA3_2)


def test_gpt_oss_learns_its_channels(make: Make) -> None:
    renderer = make("gptoss")
    saying = {**SAY, "reasoning_content": "Aisle 4."}
    check(renderer, renderer.render([ASK, saying]), GPTOSS)


@pytest.mark.parametrize("family", ["qwen3", "granite", "llama3_2", "lfm2_v2"])
def test_a_result_that_says_what_the_answer_says_is_still_not_trained(
    family: str, make: Make
) -> None:
    renderer = make(family)
    rendered = renderer.render([ASK, CALL, {**RESULT, "content": SAY["content"]}, SAY])
    trained = renderer.text_of(rendered.tokens[rendered.weights > 0])
    assert trained.count("Over there.") == 1
    read = renderer.text_of(rendered.tokens[rendered.weights == 0])
    assert read.count("Over there.") == 1


def test_a_document_that_says_what_the_answer_says_is_still_not_trained(make: Make) -> None:
    renderer = make("granite")
    rendered = renderer.render([ASK, SAY], documents=[{"text": SAY["content"]}])
    trained = renderer.text_of(rendered.tokens[rendered.weights > 0])
    assert trained == "Over there.<|end_of_text|>"
    assert "Over there." in renderer.text_of(rendered.tokens[rendered.weights == 0])
