"""Tools and documents beside a conversation: extended exactly, or refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from customize import Message
from customize import _errors as errors
from customize._batch import Ints
from customize.data.rendering import ChatRenderer
from customize.interfaces.renderer import Tool

if TYPE_CHECKING:
    from tests.rendering.conftest import Make

ASK = {"role": "user", "content": "Where is it?"}
SAY = {"role": "assistant", "content": "Over there."}
LOOK = {"name": "look", "arguments": {"at": "maps"}}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": "abcdefghi", "type": "function", "function": LOOK}],
}
RESULT = {"role": "tool", "name": "look", "tool_call_id": "abcdefghi", "content": "<|im_end|>"}
TOOLS: list[Tool] = [
    {
        "type": "function",
        "function": {
            "name": "look",
            "description": "Looks at a place.",
            "parameters": {"type": "object", "properties": {"at": {"type": "string"}}},
        },
    }
]
DOCUMENTS = [{"title": "Opening", "text": "Closed on Mondays."}]
FAMILIES = ["lfm2_v2", "llama3_2", "qwen2_5", "qwen3_instruct_2507"]

# As Mistral's later templates do: what may be called stands before the last question.
MOVING = """\
{%- for m in messages %}
{%- if loop.last or (m.role == 'user' and not messages[loop.index:] | selectattr('role', 'eq',
 'user') | list) %}{% if tools and m.role == 'user' %}[TOOLS]{{ tools | tojson }}[/TOOLS]{% endif %}
{%- if documents and m.role == 'user' %}[DOCS]{{ documents | tojson }}[/DOCS]{% endif %}{% endif %}
{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""


def said(renderer: ChatRenderer, answer: Message, tools: list[Tool] | None) -> Ints:
    """The tokens of a prompt and its completion, up to the token that ends it."""
    prompt = renderer.prompt([ASK], tools)
    tokens = renderer.render([ASK, answer], tools).tokens
    ends = [i for i in range(len(prompt), len(tokens)) if int(tokens[i]) in renderer.stop_tokens]
    return tokens[: ends[0] + 1]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("answer", "follow"), [(SAY, ASK), (CALL, RESULT)])
def test_extending_with_tools_gives_what_rendering_anew_would_give(
    family: str, answer: Message, follow: Message, make: Make
) -> None:
    renderer = make(family)
    before = said(renderer, answer, TOOLS)
    extended = renderer.extend(before, [follow], TOOLS)
    assert extended[: len(before)].tolist() == before.tolist()
    assert extended.tolist() == renderer.prompt([ASK, answer, follow], TOOLS).tolist()
    assert "Looks at a place." in renderer.text_of(extended)


def test_extending_twice_gives_what_rendering_anew_would_give(make: Make) -> None:
    renderer = make("qwen2_5")
    tokens = said(renderer, CALL, TOOLS)
    tokens = renderer.extend(tokens, [RESULT], TOOLS)
    answer = np.append(renderer.encode_text("Over there."), renderer.stop_tokens[-1])
    tokens = renderer.extend(np.concatenate([tokens, answer]), [ASK], TOOLS)
    whole = renderer.prompt([ASK, CALL, RESULT, SAY, ASK], TOOLS)
    assert tokens.tolist() == whole.tolist()


def test_a_template_that_moves_tools_behind_what_was_said_is_refused(make: Make) -> None:
    renderer = make(MOVING)
    plain = said(renderer, SAY, None)
    assert renderer.extend(plain, [ASK]).tolist() == renderer.prompt([ASK, SAY, ASK]).tolist()
    with pytest.raises(errors.Unsupported, match="user message follows in a conversation with too"):
        renderer.extend(said(renderer, SAY, TOOLS), [ASK], TOOLS)
    with pytest.raises(errors.Unsupported, match="in a conversation with documents"):
        renderer.extend(plain, [ASK], documents=DOCUMENTS)


def test_what_a_prompt_would_drop_is_refused(make: Make) -> None:
    with pytest.raises(errors.RenderingError, match="does not write tools"):
        make("zephyr").prompt([ASK], TOOLS)
    with pytest.raises(errors.RenderingError, match="does not write documents"):
        make("zephyr").prompt([ASK], documents=DOCUMENTS)
    with pytest.raises(errors.RenderingError, match=r"message 1: .* tool call 'look'"):
        make("zephyr").prompt([ASK, CALL, RESULT])
    with pytest.raises(errors.RenderingError, match="does not write tools"):
        make("zephyr").extend(said(make("zephyr"), SAY, None), [ASK], TOOLS)
