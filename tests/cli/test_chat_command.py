"""Talking on the command line: streamed text, tools called by name and answered by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

import customize
from customize import (
    Batch,
    Completion,
    DataError,
    Done,
    Handle,
    OnToken,
    Prompt,
    Run,
    Sampling,
    Snapshot,
)
from customize.cli.chat_command import ask_documents, read_tools, show_sources, talk
from customize.cli.group import cli
from customize.testing import ToyBackend
from customize.testing.renderer import END, ToyRenderer
from customize.testing.toy import ToyEngine

LOOK = {"name": "look", "arguments": {"at": "maps", "times": 2}}
CALL = f"Let me see.<tool_call>{json.dumps(LOOK)}</tool_call>"
TOOLS = [{"type": "function", "function": {"name": "look", "description": "Looks."}}]
SETTINGS = {"base": True, "max_tokens": 256, "temperature": 0.0}


class Speaker(Snapshot):
    """Says the next of its texts, whatever it is asked."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.renderer = ToyRenderer()
        self.prompts: list[str] = []
        self._texts = iter(texts)

    def forward(self, batch: Batch) -> Handle[Any]:
        return Done(np.zeros(len(batch.tokens), np.float32))

    def sample(
        self, prompts: Sequence[Prompt], sampling: Sampling, on_token: OnToken | None = None
    ) -> Handle[list[list[Completion]]]:
        self.prompts.append(bytes(int(t) for t in prompts[0].tokens).decode())
        tokens = np.asarray([*next(self._texts).encode(), END], np.int32)
        for token in tokens:
            if on_token:
                on_token(0, 0, int(token))
        none = np.zeros(len(tokens), np.float32)
        return Done([[Completion(tokens, none, none, "stop")]])


class Speaking(ToyBackend):
    """A backend whose base is a `Speaker`."""

    def __init__(self, *texts: str) -> None:
        super().__init__()
        self.speaker = Speaker(texts)

    def load(self, model: Any = None) -> ToyEngine:
        engine = ToyEngine(self.capabilities())
        engine.base = lambda: self.speaker  # type: ignore[method-assign]
        return engine


def talked(
    backend: Speaking, typed: str, tools: list[Any] | None = None, message: str | None = None
) -> str:
    """What a person who types ``typed`` sees."""

    @click.command()
    def chat() -> None:
        talk(Run(None, None, backend), "Be short.", tools, message, SETTINGS)

    result = CliRunner().invoke(chat, input=typed)
    assert result.exception is None
    return result.output


def test_an_answer_follows_what_was_said_until_an_empty_line() -> None:
    backend = Speaking("Over there.", "You are welcome.")
    shown = talked(backend, "Where?\nThanks\n\n")
    assert "Over there.\n" in shown
    assert "You are welcome.\n" in shown
    assert [text.count("\x02") for text in backend.speaker.prompts] == [1, 2]
    assert "Be short." in backend.speaker.prompts[0]
    assert "Over there." in backend.speaker.prompts[1]


def test_a_tool_call_is_shown_as_a_call_and_its_typed_result_is_told_to_the_model() -> None:
    backend = Speaking(CALL, "It is sunny.")
    shown = talked(backend, "Where?\nsunny\n\n", TOOLS)
    assert "Let me see.\nlook(at='maps', times=2)\n" in shown
    assert "look = " in shown
    assert "tool_call" not in shown
    assert "It is sunny.\n" in shown
    assert "Looks." in backend.speaker.prompts[0]
    assert "\x04sunny" in backend.speaker.prompts[1]
    assert f"<tool_call>{json.dumps(LOOK)}</tool_call>" in backend.speaker.prompts[1]


def test_no_result_ends_the_talk() -> None:
    backend = Speaking(CALL, "never said")
    assert "never said" not in talked(backend, "Where?\n\n", TOOLS)


def test_one_message_gets_one_answer() -> None:
    backend = Speaking("Over there.", "never said")
    assert talked(backend, "", message="Where?") == "Over there.\n"


def test_a_reply_is_text_and_a_reply_message_is_taken_apart() -> None:
    assert Run(None, None, Speaking(CALL)).reply("Where?", tools=TOOLS, base=True) == CALL
    said = Run(None, None, Speaking(CALL)).reply_message("Where?", tools=TOOLS, base=True)
    assert said == {
        "role": "assistant",
        "content": "Let me see.",
        "tool_calls": [{"id": "call00000", "type": "function", "function": LOOK}],
    }


def asked(*messages: Any) -> str:
    """What a model sees of them."""
    backend = Speaking("Yes.")
    assert Run(None, None, backend).reply(list(messages)) == "Yes."
    return backend.speaker.prompts[0]


USER: dict[str, Any] = {"role": "user", "content": "Where?"}


def test_a_reply_takes_messages_in_the_form_that_rows_have() -> None:
    parts = [{"type": "text", "text": "Whe"}, {"type": "text", "text": "re?"}]
    assert asked({"role": "user", "content": parts}) == asked(USER)
    written = {"function": {"name": "look", "arguments": '{"at": "maps"}'}}
    called = {"function": {"name": "look", "arguments": {"at": "maps"}}}
    seen = [
        asked(USER, {"role": "assistant", "content": None, "tool_calls": [call]}, USER)
        for call in (written, called)
    ]
    assert seen[0] == seen[1]
    empty = {"role": "assistant", "content": ""}
    assert asked(USER, empty, USER) == asked(USER, {**empty, "content": None}, USER)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ({"role": "user", "content": None}, r"missing content: messages\[1\] has no 'content'"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "only text is read"),
        ({"role": "user", "content": "\ud800"}, r"lone surrogate: messages\[1\]\.content"),
        ({"content": "Where?"}, r"missing role: messages\[1\] has no 'role'"),
        ({"role": "ipython", "content": "1"}, "known: system, developer, user, assistant, tool"),
        ("Where?", r"messages\[1\] must be an object"),
    ],
)
def test_what_is_no_message_is_told_with_one_that_is(message: Any, told: str) -> None:
    with pytest.raises(DataError, match=f'{told}.*; a message reads {{"role": "user", "content": '):
        asked(USER, message)


def test_a_text_that_holds_half_a_character_is_told() -> None:
    with pytest.raises(DataError, match="lone surrogate"):
        Run(None, None, Speaking("Yes.")).reply("\udcff")


@pytest.mark.parametrize("text", ["größer", "日本語", "🍕 🇫🇷 👩‍👩‍👧", "\ufffd and on"])
def test_streaming_never_shows_half_a_character_nor_a_control_token(text: str) -> None:
    run = Run(None, None, Speaking(text))
    pieces = list(run.reply("Say it.", stream=True, base=True))
    assert "".join(pieces) == text
    assert len(pieces) > 1
    assert not any("\0" in piece for piece in pieces)
    whole = set(text)
    assert all(set(piece) <= whole for piece in pieces)


def test_a_run_trained_on_characters_of_many_bytes_streams_them_whole(tmp_path: Path) -> None:
    pytest.importorskip("customize_sft")
    row = {
        "messages": [
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": "é日🍕"},
        ]
    }
    run = customize.train(
        model="toy",
        data=[row] * 4,
        to=tmp_path / "run",
        backend=ToyBackend(),
        options={"epochs": 30, "batch_size": 4, "lr": 0.3, "replay": 0},
    )
    assert list(run.reply("?", stream=True, max_tokens=12)) == ["é", "日", "🍕"]


def test_tools_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "tools.json"
    file.write_text(json.dumps(TOOLS))
    assert read_tools(file) == TOOLS
    file.write_text(json.dumps(TOOLS[0]))
    assert read_tools(file) == TOOLS


@pytest.mark.parametrize("content", ["{", "[1]", '[{"name": "look"}]', '{"function": {}}'])
def test_what_is_no_list_of_tools_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "tools.json").write_text(content)
    with pytest.raises(DataError, match=r"tools\.json"):
        read_tools(tmp_path / "tools.json")


def test_help_names_tools_and_system() -> None:
    shown = CliRunner().invoke(cli, ["chat", "--help"]).output
    assert "--tools FILE.json" in shown
    assert "--system TEXT" in shown


def test_an_answer_from_documents_shows_what_it_quotes_and_from_where(
    capsys: pytest.CaptureFixture[str],
) -> None:
    chunk = customize.Chunk("hours.md", "We open at 9:20 am.", (40, 59))
    said = '"open at 9:20 am" [1]\n"We close at noon" [1]\n9:20 am'
    show_sources(customize.Grounding().read(said, [customize.Hit(chunk, 1.0)]))
    assert capsys.readouterr().out.splitlines() == [
        "9:20 am",
        '  "open at 9:20 am" hours.md:43-58',
        '  "We close at noon" is not what hours.md says',
    ]


def test_documents_are_asked_until_an_empty_line(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Noting(customize.Grounding):
        def messages(
            self, question: str, chunks: Sequence[customize.Chunk]
        ) -> list[customize.Message]:
            asked.append(question)
            return super().messages(question, chunks)

    index = customize.index_of([customize.Document("a", "The pool is blue.")])
    assistant = customize.Assistant(ToyBackend().load(None).base(), index, Noting())
    typed = iter(["Which colour?", "How deep?", ""])
    monkeypatch.setattr(click, "prompt", lambda *args, **kwargs: next(typed))
    ask_documents(assistant, None, (), 4)
    assert asked == ["Which colour?", "How deep?"]


EVIL = "\x1b]0;owned\x07"
SHOWN = r"\x1b]0;owned\x07"


def test_what_would_steer_the_terminal_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    chunk = customize.Chunk(f"hours{EVIL}.md", f"We open{EVIL} at 9\u00a0am.", (0, 25))
    said = f'"open{EVIL} at 9\u00a0am" [1]\n{EVIL}9\u00a0am'
    show_sources(customize.Grounding().read(said, [customize.Hit(chunk, 1.0)]))
    assert capsys.readouterr().out.splitlines() == [
        f"{SHOWN}9\u00a0am",
        f'  "open{SHOWN} at 9\u00a0am" hours{SHOWN}.md:3-25',
    ]


@pytest.mark.parametrize("tools", [None, TOOLS])
def test_nor_may_a_model_steer_the_terminal(tools: list[Any] | None) -> None:
    shown = talked(Speaking(f"{EVIL}a\tb\u2067"), "", tools, message="Where?")
    assert shown == f"{SHOWN}a\tb\\u2067\n"
