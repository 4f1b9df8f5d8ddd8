"""Which tokens are trained, case by case, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from customize import Message
from customize import _errors as errors
from customize.data.rendering import ChatRenderer
from customize.data.rendering.mask import check_tokens

if TYPE_CHECKING:
    from tests.rendering.conftest import Make

ASK = {"role": "user", "content": "Where is it?"}
SAY = {"role": "assistant", "content": "Over there."}
THINK = {**SAY, "reasoning_content": "A place."}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"function": {"name": "look", "arguments": {"at": "maps"}}}],
}
RESULT = {"role": "tool", "name": "look", "content": "secret result"}


def trained(renderer: ChatRenderer, *messages: Message) -> list[str]:
    rendered = renderer.render(messages)
    edges = np.flatnonzero(np.diff(rendered.weights, prepend=0, append=0))
    return [
        renderer.text_of(rendered.tokens[a:b]) for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]


def test_reasoning_is_trained(make: Make) -> None:
    assert trained(make("qwen3"), ASK, THINK) == [
        "<think>\nA place.\n</think>\n\nOver there.<|im_end|>"
    ]


def test_reasoning_written_into_content_is_trained(make: Make) -> None:
    said = {**SAY, "content": "<think>\nA place.\n</think>\n\nOver there."}
    assert trained(make("qwen3"), ASK, said) == [
        "<think>\nA place.\n</think>\n\nOver there.<|im_end|>"
    ]


def test_an_earlier_answer_whose_reasoning_is_dropped_is_not_trained(make: Make) -> None:
    assert trained(make("qwen3"), ASK, THINK, ASK, THINK) == [
        "<think>\nA place.\n</think>\n\nOver there.<|im_end|>"
    ]


def test_reasoning_the_template_never_writes_is_refused(make: Make) -> None:
    with pytest.raises(errors.RenderingError, match="reasoning_content"):
        make("zephyr").render([ASK, THINK])


def test_tool_calls_are_trained_and_results_are_not(make: Make) -> None:
    assert trained(make("qwen3"), ASK, CALL, RESULT, SAY) == [
        '<tool_call>\n{"name": "look", "arguments": {"at": "maps"}}\n</tool_call><|im_end|>',
        "<think>\n\n</think>\n\nOver there.<|im_end|>",
    ]


def test_only_the_last_turn_when_asked(make: Make) -> None:
    assert trained(make("zephyr", loss_on="last_turn"), ASK, SAY, ASK, SAY) == ["Over there.</s>"]


def test_a_message_marked_train_false_is_not_trained(make: Make) -> None:
    first = {**SAY, "content": "Nowhere.", "train": False}
    assert trained(make("llama3"), ASK, first, ASK, SAY) == ["Over there.<|eot_id|>"]


def test_an_answer_equal_to_the_question_is_found(make: Make) -> None:
    assert trained(make("gemma3"), ASK, {**SAY, "content": ASK["content"]}) == [
        "Where is it?<end_of_turn>"
    ]


def test_nothing_to_train_is_refused_with_the_tokens_shown(make: Make) -> None:
    with pytest.raises(errors.RenderingError, match=r"(?s)no message of the assistant.*tokens: "):
        make("llama3").render([ASK])


def test_an_empty_answer_is_refused(make: Make) -> None:
    with pytest.raises(errors.RenderingError, match="says nothing"):
        make("llama3").render([ASK, {**SAY, "content": " "}])


def test_a_template_that_drops_text_is_named(make: Make) -> None:
    with pytest.raises(errors.RenderingError, match="does not write its content"):
        make("smolvlm").render([ASK, SAY])


def test_tools_and_documents_the_template_ignores_are_refused(make: Make) -> None:
    tool = {"type": "function", "function": {"name": "look", "description": "Looks."}}
    with pytest.raises(errors.RenderingError, match="does not write tools"):
        make("zephyr").render([ASK, SAY], tools=[tool])
    with pytest.raises(errors.RenderingError, match="does not write documents"):
        make("zephyr").render([ASK, SAY], documents=[{"title": "a", "text": "b"}])


def test_a_template_without_an_end_of_turn_is_refused_unless_allowed(make: Make) -> None:
    with pytest.raises(errors.RenderingError, match="will not learn to stop"):
        make("glm4moe").render([ASK, SAY])
    assert trained(make("glm4moe", needs_end=False), ASK, SAY)[-1].endswith("Over there.")


def test_an_answer_cut_before_its_end_is_refused() -> None:
    tokens, weights = np.asarray([5, 6, 7], np.int32), np.asarray([0, 1, 1], np.float32)
    check_tokens(tokens, weights, ends=[7], needs_end=True)
    with pytest.raises(errors.RenderingError, match="is cut"):
        check_tokens(tokens[:2], weights[:2], ends=[7], needs_end=True)


def test_a_template_that_looks_into_the_text_is_probed_by_mutation(make: Make) -> None:
    escaping = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{{ m.content | tojson(ensure_ascii=True) }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    assert trained(make(escaping), ASK, SAY)[0].strip('"').startswith("Over there.")


def test_a_template_that_mixes_messages_is_refused(make: Make) -> None:
    mixing = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
        "{{ messages[0].content }}{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    with pytest.raises(errors.RenderingError, match="stands inside"):
        make(mixing).render([ASK, SAY])
