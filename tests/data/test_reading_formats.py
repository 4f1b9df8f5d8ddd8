"""What `read` recognises, says and converts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from customize._errors import DataError, OptionError
from customize.data import read
from customize.interfaces.dataset import Dataset

USER = {"role": "user", "content": "Do you deliver?"}
ANSWER = {"role": "assistant", "content": "Yes, until ten."}
WORSE = {"role": "assistant", "content": "no"}


def only_row(row: dict[str, Any], kind: str | None = None) -> dict[str, Any]:
    return read([row], kind)[0]


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"messages": [USER, ANSWER]}, "openai"),
        ({"conversations": [USER, ANSWER]}, "openai"),
        ({"messages": json.dumps([USER, ANSWER])}, "openai"),
        (
            {
                "conversations": [
                    {"from": "human", "value": "Do you deliver?"},
                    {"from": "gpt", "value": "Yes, until ten."},
                ]
            },
            "sharegpt",
        ),
        (
            {
                "instruction": "Do you deliver?",
                "input": "",
                "output": "Yes, until ten.",
            },
            "alpaca",
        ),
        (
            {"prompt": "Do you deliver?", "completion": "Yes, until ten."},
            "prompt-completion",
        ),
        ({"prompt": [USER], "response": [ANSWER]}, "prompt-completion"),
    ],
)
def test_every_chat_format_gives_the_same_row(row: dict[str, Any], name: str) -> None:
    dataset = read([{"id": 7, "expect": {"includes": "ten"}, **row}])
    assert dataset.format == name
    assert dataset.kind == "chat"
    assert dataset[0] == {
        "id": 7,
        "expect": {"includes": "ten"},
        "messages": [USER, ANSWER],
    }


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Do you deliver?", "chosen": "Yes, until ten.", "rejected": "no"},
        {"prompt": [USER], "chosen": [ANSWER], "rejected": [WORSE]},
        {"messages": [USER], "chosen": ANSWER, "rejected": WORSE},
        {"chosen": [USER, ANSWER], "rejected": [USER, WORSE]},
        {
            "prompt": "Do you deliver?",
            "chosen": [USER, ANSWER],
            "rejected": [USER, WORSE],
        },
        {
            "prompt": "Do you deliver?",
            "messages": [USER, ANSWER],
            "chosen": [USER, ANSWER],
            "rejected": [USER, WORSE],
        },
        {
            "prompt": "Do you deliver?",
            "messages": [USER],
            "chosen": "Yes, until ten.",
            "rejected": "no",
        },
    ],
)
def test_every_preference_form_gives_the_same_row(row: dict[str, Any]) -> None:
    dataset = read([row])
    assert (dataset.kind, dataset.format) == ("preference", "preference")
    assert dataset[0] == {"messages": [USER], "chosen": [ANSWER], "rejected": [WORSE]}


def test_prompts_are_told_from_chats_by_their_last_turn() -> None:
    assert read([{"prompt": "Do you deliver?", "answer": "ten"}])[0] == {
        "answer": "ten",
        "messages": [USER],
    }
    prompts = read([{"messages": [USER, ANSWER, USER]}, {"messages": [USER]}])
    assert (prompts.kind, prompts.format) == ("prompt", "openai")


def test_a_chat_read_as_prompts_keeps_the_answer_in_its_own_column() -> None:
    row = {"messages": [USER, ANSWER]}
    assert only_row(row, "prompt") == {"messages": [USER], "answer": "Yes, until ten."}
    assert only_row({**row, "answer": "mine"}, "prompt")["answer"] == "mine"


def test_tool_arguments_become_objects_and_stay_so() -> None:
    schema = {"type": "function", "function": {"name": "find", "parameters": {}}}
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "find", "arguments": '{"x": 1}'},
    }
    row = {
        "messages": [
            USER,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "3"},
            ANSWER,
        ],
        "tools": json.dumps([schema]),
    }
    read_row = only_row(row)
    function = read_row["messages"][1]["tool_calls"][0]["function"]
    assert function == {"name": "find", "arguments": {"x": 1}}
    assert read_row["messages"][1]["content"] == ""
    assert read_row["messages"][2]["tool_call_id"] == "c1"
    assert read_row["tools"] == [schema]
    assert only_row(read_row) == read_row


def test_sharegpt_function_calls_and_system_column() -> None:
    row = {
        "system": "Be short.",
        "conversations": [
            {"from": "human", "value": "Do you deliver?"},
            {
                "from": "function_call",
                "value": '{"name": "find", "arguments": {"x": 1}}',
            },
            {"from": "observation", "value": "3"},
            {"from": "gpt", "value": "Yes, until ten."},
        ],
    }
    messages = only_row(row)["messages"]
    assert [turn["role"] for turn in messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert messages[2]["tool_calls"] == [
        {"type": "function", "function": {"name": "find", "arguments": {"x": 1}}}
    ]


def test_text_parts_are_joined_and_alpaca_input_follows_the_instruction() -> None:
    parts = [{"type": "text", "text": "Do you "}, {"type": "text", "text": "deliver?"}]
    assert only_row({"messages": [{**USER, "content": parts}, ANSWER]})["messages"][0] == USER
    row = only_row({"instruction": "Translate.", "input": "ja", "output": "yes"})
    assert row["messages"][0]["content"] == "Translate.\n\nja"


@pytest.mark.parametrize(
    "text",
    [
        "e\u0301 and \u00e9",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\u0645\u0631\u062d\u0628\u0627 \u202e",
        "<|im_end|><|im_start|>system",
        "a\u2028b\u0085c",
    ],
)
def test_text_is_kept_to_the_code_point(tmp_path: Path, text: str) -> None:
    row = {"messages": [{"role": "user", "content": text}, ANSWER]}
    for ascii_only in (True, False):
        file = tmp_path / f"{ascii_only}.jsonl"
        file.write_text(json.dumps(row, ensure_ascii=ascii_only) + "\n", encoding="utf-8")
        assert read(file)[0]["messages"][0]["content"] == text


def test_a_description_says_what_was_recognised(tmp_path: Path) -> None:
    file = tmp_path / "shop.jsonl"
    file.write_text('\n{"prompt": "a", "completion": "b"}\n{"prompt": "a", "completion": ""}\n')
    said = read(file, on_bad_rows="skip").describe()
    for part in (
        "shop.jsonl",
        "1 chat row",
        "prompt/completion",
        "1 bad row ",
        "1 blank",
    ):
        assert part in said


def test_an_unknown_format_is_refused_with_what_was_seen_and_the_nearest() -> None:
    with pytest.raises(DataError) as refused:
        read([{"question": "a", "reply": "b"}])
    for part in ("'question', 'reply'", "prompt/completion", "ShareGPT", "is 'prompt'"):
        assert part in str(refused.value)


@pytest.mark.parametrize("on_bad_rows", ["refuse", "skip"])
def test_mixed_formats_are_refused_with_a_line_of_each(on_bad_rows: Any) -> None:
    rows: list[dict[str, Any]] = [{"messages": [USER, ANSWER]}] * 2
    with pytest.raises(DataError, match=r"OpenAI.* line 1; Alpaca.* line 3"):
        read([*rows, {"instruction": "a", "output": "b"}], on_bad_rows=on_bad_rows)
    with pytest.raises(DataError, match=r"Alpaca.* line 1201"):  # after the sample
        read([*rows * 600, {"instruction": "a", "output": "b"}], on_bad_rows=on_bad_rows)


def test_a_kind_the_format_cannot_be_is_refused() -> None:
    told = "can be read as preference, not as 'chat': give conversations with an answer"
    with pytest.raises(DataError, match=told):
        read([{"prompt": "a", "chosen": "b", "rejected": "c"}], "chat")
    with pytest.raises(OptionError, match="kind must be one of chat, preference, prompt, docu"):
        read([{"prompt": "a"}], "chats")
    with pytest.raises(OptionError, match="on_bad_rows"):
        read([{"prompt": "a"}], on_bad_rows="ignore")  # type: ignore[arg-type]


def test_reading_a_data_set_again_is_the_data_set() -> None:
    dataset = read([{"messages": [USER, ANSWER]}])
    assert isinstance(dataset, Dataset)
    assert read(dataset) is dataset
    with pytest.raises(DataError, match="was read as chat, and prompt is needed"):
        read(dataset, "prompt")


def test_generators_and_other_data_sets_are_spooled() -> None:
    class Ours:
        kind, fingerprint = "chat", "none"

        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int, /) -> dict[str, Any]:
            return {"messages": [USER, ANSWER], "id": index}

    assert [row["id"] for row in read(Ours())] == [0, 1]
    assert len(read({"prompt": str(i), "completion": "b"} for i in range(3))) == 3


def test_the_fingerprint_is_of_the_content() -> None:
    rows = [{"messages": [USER, ANSWER]}]
    assert read(rows).fingerprint == read(iter(rows)).fingerprint
    assert read(rows).fingerprint != read(rows * 2).fingerprint


@pytest.mark.parametrize("source", [5, {"messages": []}, None])
def test_what_is_no_source_is_refused(source: Any) -> None:
    with pytest.raises(DataError, match="rows come from a file"):
        read(source)


def test_paths_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}")
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    (docs := tmp_path / "docs").mkdir()
    (docs / "menu.md").write_text("# Menu")
    cases = {
        str(docs): r"it holds no file of rows \(\.jsonl, .* of documents, set method=rag",
        str(tmp_path): "is a folder; name a file in it: loop.jsonl, rows.jsonl",
        str(tmp_path / "row.jsonl"): "did you mean .*rows.jsonl",
        str(tmp_path / "none" / "row.jsonl"): "nor a folder",
        str(tmp_path / ("x" * 300)): "name too long",
        "a\0b.jsonl": "null|no file",
        str(tmp_path / "loop.jsonl"): "no file|symbolic links",
    }
    for path, reason in cases.items():
        with pytest.raises(DataError, match=f"(?i){reason}"):
            read(path)


def test_a_path_with_spaces_and_unicode_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mes donn\u00e9es \U0001f355" / "a b.jsonl"
    file.parent.mkdir()
    file.write_text('{"prompt": "a", "completion": "b"}')
    assert len(read(str(file))) == 1
