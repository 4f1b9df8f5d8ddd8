"""Completions taken apart, conversations extended, rows cached and shown."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.console import Console

from customize import Message, Rendered
from customize import _errors as errors
from customize._batch import Ints
from customize.data.rendering import ChatRenderer, RenderedRows, inspect_rows
from customize.interfaces.renderer import Document, Tool

if TYPE_CHECKING:
    from tests.rendering.conftest import Make

ASK = {"role": "user", "content": "Where is it?"}
SAY = {"role": "assistant", "content": "Over there."}
ROWS = [{"messages": [ASK, {**SAY, "content": f"Number {i}."}]} for i in range(150)]


def call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": "call00000", "type": "function", "function": function}


CALLING = {"role": "assistant", "content": "", "tool_calls": [call("look", {"at": "maps"})]}


def numbered(calls: list[Any]) -> list[Any]:
    """With the ids they are given where the family writes none."""
    return [{**call, "id": f"call{i:05}"} for i, call in enumerate(calls)]


def completion(renderer: ChatRenderer, messages: list[Message]) -> Ints:
    """What the model would have sampled to say the last message."""
    prompt = renderer.prompt(messages[:-1])
    tokens = renderer.render(messages).tokens
    assert tokens[: len(prompt)].tolist() == prompt.tolist()
    return tokens[len(prompt) :]


def test_a_completion_is_parsed_into_the_message_it_was_made_of(make: Make) -> None:
    said = {**SAY, "reasoning_content": "Hm.", "tool_calls": [call("f", {"a": [1]})]}
    renderer = make("qwen3")
    assert renderer.parse(completion(renderer, [ASK, said])) == said


HARD = {
    "text": "a ]}</tool_call> \"'\\\n é",
    "list": [1, {"deep": None}],
    "yes": True,
    "part": -0.5,
}
# As Granite 3, Phi-4-mini and Mistral (from its eleventh format) write calls.
WRITTEN = {
    "granite 3": "<tool_call>[{% for f in calls %}{{ f | tojson }}{{ ',' if not loop.last }}"
    "{% endfor %}]",
    "phi4": "<|tool_call|>[{% for f in calls %}{{ f | tojson }}{{ ',' if not loop.last }}"
    "{% endfor %}]<|/tool_call|>",
    "mistral11": "{% for f in calls %}[TOOL_CALLS]{{ f.name }}[ARGS]{{ f.arguments | tojson }}"
    "{% endfor %}",
}
AROUND = (
    "{{% for m in messages %}}<|im_start|>{{{{ m.role }}}}|{{{{ m.content }}}}"
    "{{% if m.tool_calls %}}{{% set calls = m.tool_calls | map(attribute='function') | list %}}{}"
    "{{% endif %}}<|im_end|>"
    "{{% endfor %}}{{% if add_generation_prompt %}}<|im_start|>assistant|{{% endif %}}"
)


@pytest.mark.parametrize("family", ["granite", "lfm2_v2", "mistral", "qwen2_5", "qwen3", *WRITTEN])
@pytest.mark.parametrize("number", [1, 2])
def test_calls_are_read_as_the_family_writes_them(family: str, number: int, make: Make) -> None:
    renderer = make(AROUND.format(WRITTEN[family]) if family in WRITTEN else family)
    calls = numbered([call("look", HARD), call("tell", {})][:number])
    said = {"role": "assistant", "content": "", "tool_calls": calls}
    assert renderer.parse(completion(renderer, [ASK, said]))["tool_calls"] == calls


def test_calls_after_reasoning_in_deepseeks_form_are_read(make: Make) -> None:
    renderer = make("deepseekv3")
    tokens = renderer.render([ASK, CALLING]).tokens
    begin = tokens.tolist().index(int(renderer.prompt([ASK])[-3])) + 1
    assert renderer.text_of(tokens[:begin]).endswith("<｜Assistant｜>")
    thought = renderer.encode_text("Hm.</think>\n\n")
    parsed = renderer.parse(np.concatenate([thought, tokens[begin:]]))
    assert parsed == {**CALLING, "reasoning_content": "Hm."}


def test_only_a_whole_answer_is_a_call_where_nothing_marks_it(make: Make) -> None:
    renderer = make("llama3_2")
    said = {"role": "assistant", "content": "", "tool_calls": [call("look", HARD)]}
    assert renderer.parse(completion(renderer, [ASK, said])) == said
    for text in (
        '{"name": "Bob"}',
        '{"name": "Bob", "age": 7, "parameters": {}}',
        'It is {"name": "look", "parameters": {}}',
        '{"name": "look", "parameters": {}} and more',
    ):
        assert renderer.parse(renderer.encode_text(text)) == {"role": "assistant", "content": text}


@pytest.mark.parametrize("family", ["granite", "lfm2_v2", "llama3_2", "mistral", "qwen2_5"])
def test_a_call_that_was_parsed_can_be_answered(family: str, make: Make) -> None:
    renderer = make(family)
    parsed = renderer.parse(completion(renderer, [ASK, CALLING]))
    number = parsed["tool_calls"][0]["id"]
    result = {"role": "tool", "tool_call_id": number, "name": "look", "content": "Here."}
    assert "Here." in renderer.text_of(renderer.prompt([ASK, parsed, result]))


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "look", "parameters": {',
        ' {"name": "look", "arguments": {"at": maps}}',
        '{"name": "look", "parameters": {}} and more',
        "<|python_tag|>look(at=1)",
    ],
)
def test_what_was_to_be_a_call_is_told_where_nothing_marks_it(text: str, make: Make) -> None:
    renderer = make("llama3_2")
    assert renderer.leaves_a_call(renderer.encode_text(text))
    assert not make("qwen2_5").leaves_a_call(make("qwen2_5").encode_text(text))


@pytest.mark.parametrize(
    "text", ['{"name": "Bob"}', '{"at": "maps"}', "Look there.", 'It is {"name": "look"', ""]
)
def test_what_was_to_be_no_call_is_none(text: str, make: Make) -> None:
    renderer = make("llama3_2")
    assert not renderer.leaves_a_call(renderer.encode_text(text))


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ("granite", '<|tool_call|>[{"name": "look"'),
        ("mistral", '[TOOL_CALLS] [{"name": "look"'),
        ("qwen2_5", '<tool_call>\n{"name":'),
        ("lfm2_v2", "<|tool_call_start|>[look("),
        ("deepseekv3", "Hm.</think><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>look"),
    ],
)
def test_a_broken_call_in_the_templates_own_markup_is_told_and_seen(
    family: str, text: str, make: Make
) -> None:
    renderer = make(family)
    tokens, _ = renderer._codec.encode(text, [])
    assert renderer.leaves_a_call(tokens)
    assert renderer.parse(tokens)["content"] == text.removeprefix("Hm.</think>")


def test_text_stays_around_a_call_and_the_form_of_others_is_text(make: Make) -> None:
    renderer = make("qwen2_5")
    text = 'Wait. <tool_call>{"name": "f"}</tool_call> [TOOL_CALLS] [{"name": "f"}]'
    parsed = renderer.parse(renderer.encode_text(text))
    assert parsed["content"] == 'Wait. [TOOL_CALLS] [{"name": "f"}]'
    assert [c["function"]["name"] for c in parsed["tool_calls"]] == ["f"]
    assert "tool_calls" not in make("zephyr").parse(make("zephyr").encode_text(text))


@pytest.mark.parametrize(
    "inside",
    ["look(1)", "look(at=__import__('os'))", "look.up(at=1)", "(look(at=1))()", "[" * 9999, "a b"],
)
def test_what_looks_like_code_is_never_run(inside: str, make: Make) -> None:
    renderer = make("lfm2_v2")
    text = f"<|tool_call_start|>[{inside}]<|tool_call_end|>"
    assert renderer.parse(renderer.encode_text(text))["content"] == text


@pytest.mark.parametrize(
    "call",
    [
        '{"name": ',
        '{"name": "look", "arguments": {"at": "maps", "at": "books"}}',
        '{"name": "look", "arguments": {"at": NaN}}',
    ],
)
def test_a_malformed_tool_call_stays_in_the_content(call: str, make: Make) -> None:
    renderer = make("qwen3")
    text = f"<tool_call>\n{call}\n</tool_call>"
    parsed = renderer.parse(renderer.encode_text(text))
    assert parsed == {"role": "assistant", "content": text}


@pytest.mark.parametrize("family", ["llama3", "zephyr", "gemma3", "qwen2_5", "mistral", "phi3"])
def test_extending_gives_what_rendering_anew_would_give(family: str, make: Make) -> None:
    renderer = make(family)
    said = np.concatenate([renderer.prompt([ASK]), completion(renderer, [ASK, SAY])])
    ends = [i for i, t in enumerate(said) if int(t) in renderer.stop_tokens]
    said = said[: ends[-1] + 1] if family != "phi3" else said[: ends[-2] + 1]
    extended = renderer.extend(said, [ASK])
    assert extended[: len(said)].tolist() == said.tolist()
    assert extended.tolist() == renderer.prompt([ASK, SAY, ASK]).tolist()


def test_a_cut_answer_is_ended_before_it_is_extended(make: Make) -> None:
    renderer = make("llama3")
    cut = np.concatenate([renderer.prompt([ASK]), renderer.encode_text("Over there.")])
    assert renderer.extend(cut, [ASK]).tolist() == renderer.prompt([ASK, SAY, ASK]).tolist()


def test_a_tool_result_extends_a_thinking_model_and_a_question_is_refused(make: Make) -> None:
    renderer = make("qwen3")
    thought = {**SAY, "reasoning_content": "Hm.", "tool_calls": [{"function": {"name": "f"}}]}
    tokens = np.concatenate([renderer.prompt([ASK]), completion(renderer, [ASK, thought])])
    result = {"role": "tool", "content": "<|im_end|>", "tool_call_id": "1", "name": "f"}
    extended = renderer.extend(tokens[:-1], [result])
    assert extended[: len(tokens)].tolist() == tokens.tolist()
    with pytest.raises(errors.Unsupported, match="rewrites an answer with reasoning"):
        renderer.extend(tokens[:-1], [ASK])


@pytest.mark.parametrize("is_token", [True, False])
def test_data_that_speaks_of_thoughts_holds_none(
    is_token: bool, make: Make, tmp_path: Path
) -> None:
    """Whether the tokenizer has a token for the end of a thought, or writes it as text."""
    make("qwen3")
    file = tmp_path / "model" / "tokenizer.json"
    settings = json.loads(file.read_text())
    if not is_token:
        added = settings["added_tokens"]
        settings["added_tokens"] = [t for t in added if t["content"] != "</think>"]
        file.write_text(json.dumps(settings))
    renderer = ChatRenderer.from_folder(tmp_path / "model")
    told = {**ASK, "content": "Close it with </think>, as in <think>Hm.</think>"}
    said = np.concatenate([renderer.prompt([told]), renderer.encode_text("Over there.")])
    extended = renderer.extend(said, [told])
    assert renderer.text_of(extended).count("</think>") == 4
    thought = renderer._codec.encode("<think>\nHm.\n</think>\n\nThere.", [])[0]
    with pytest.raises(errors.Unsupported, match="rewrites an answer with reasoning"):
        renderer.extend(np.concatenate([renderer.prompt([ASK]), thought]), [ASK])


def test_rows_are_rendered_once_and_read_back_the_same(make: Make, tmp_path: Path) -> None:
    renderer = make("llama3")
    with RenderedRows(ROWS, renderer, tmp_path / "cache") as rows:
        first = [rows[i] for i in (149, 0, 77)]
        assert rows.lengths().tolist() == [len(renderer.render(r["messages"]).tokens) for r in ROWS]
    with RenderedRows(ROWS, Refusing.from_folder(tmp_path / "model"), tmp_path / "cache") as again:
        for row, i in zip(first, (149, 0, 77), strict=True):
            expected = renderer.render(ROWS[i]["messages"])
            for got in (row, again[i]):
                np.testing.assert_array_equal(got.tokens, expected.tokens)
                np.testing.assert_array_equal(got.weights, expected.weights)


@pytest.mark.parametrize("name", ["tokens.i32", "weights.u8", "offsets.i64", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_cache_is_made_anew(name: str, damage: str, make: Make, tmp_path: Path) -> None:
    renderer = make("llama3")
    with RenderedRows(ROWS[:9], renderer, tmp_path / "cache") as rows:
        rows.lengths()
    (path,) = (tmp_path / "cache").glob(f"*/{name}")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(content if damage == "flip" else content[:-1])
    with RenderedRows(ROWS[:9], renderer, tmp_path / "cache") as rows:
        assert rows[8].tokens.tolist() == renderer.render(ROWS[8]["messages"]).tokens.tolist()


def test_a_bad_row_is_named_and_leaves_nothing_behind(make: Make, tmp_path: Path) -> None:
    rows = [*ROWS[:20], {"messages": [ASK]}]
    rendered = RenderedRows(rows, make("llama3"), tmp_path / "cache")
    with pytest.raises(errors.RenderingError, match="row 20: no message of the assistant"):
        rendered.lengths()
    rendered.close()
    assert list((tmp_path / "cache").iterdir()) == []


def test_inspection_marks_trained_text_without_colour_alone(make: Make) -> None:
    evil = {"messages": [{**ASK, "content": "<script>\x1b[2J"}, SAY]}
    inspection = inspect_rows([evil, {"messages": [ASK]}, *ROWS], make("llama3"), limit=3)
    page = inspection.html()
    assert "<b>Over there.&lt;|eot_id|&gt;</b>" in page
    assert "<script>" not in page
    assert "\x1b" not in page
    assert "3 rows" in page
    assert "1 refused" in page
    assert "no message of the assistant" in page
    out = io.StringIO()
    inspection.print(Console(file=out, force_terminal=True, width=200))
    assert "\x1b[1;4;32mOver there." in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()
    plain = io.StringIO()
    inspection.print(Console(file=plain, width=200))
    assert "\n\n⟦Over there.<|eot_id|>⟧\n" in plain.getvalue()
    assert "Between ⟦ and ⟧: trained." in plain.getvalue()


class Refusing(ChatRenderer):
    """Renders nothing: cached rows need no more than who it is."""

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None = None,
        documents: Sequence[Document] | None = None,
    ) -> Rendered:
        raise AssertionError("rendered again")
