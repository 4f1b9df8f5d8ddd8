"""Control tokens that a user, a tool or a document writes are text, in every family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from customize import Rendered
from customize.data.rendering import ChatRenderer

if TYPE_CHECKING:
    from tests.rendering.conftest import Make

TEMPLATES = Path(__file__).parent / "templates"
PLAIN = "plain words"
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
WITH_TOOLS = ["granite", "lfm2_v2", "llama3_2", "qwen2_5", "qwen3"]
CALL = {"id": "abcdefghi", "type": "function", "function": {"name": "look", "arguments": {"n": 1}}}
Say = Callable[[str], Rendered]


def controls(folder: Path, family: str) -> dict[str, int]:
    """The control tokens of a family: special ones, and those added ones its template writes."""
    from tokenizers import Tokenizer

    source = (TEMPLATES / f"{family}.jinja").read_text()
    added = Tokenizer.from_file(str(folder / "tokenizer.json")).get_added_tokens_decoder()
    return {t.content: i for i, t in added.items() if t.special or t.content in source}


def attacks(tokens: list[str]) -> list[str]:
    """Each token alone and inside a word, all after one another, and one built around another."""
    first, last = tokens[0], tokens[-1]
    nested = f"{first[:2]}{last}{first[2:]}"
    return [*tokens, *(f"a{t}b {t} {t}" for t in tokens), "".join(tokens), nested]


def by_user(renderer: ChatRenderer) -> Say:
    answer = {"role": "assistant", "content": "No."}
    return lambda text: renderer.render([{"role": "user", "content": text}, answer])


def by_tool(renderer: ChatRenderer) -> Say:
    def say(text: str) -> Rendered:
        messages: list[dict[str, Any]] = [
            {"role": "user", "content": "Look."},
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            {"role": "tool", "name": "look", "tool_call_id": "abcdefghi", "content": text},
            {"role": "assistant", "content": "No."},
        ]
        return renderer.render(messages)

    return say


def by_document(renderer: ChatRenderer) -> Say:
    messages = [{"role": "user", "content": "Look."}, {"role": "assistant", "content": "No."}]
    return lambda text: renderer.render(messages, documents=[{"title": text, "text": text}])


def check(say: Say, renderer: ChatRenderer, ids: dict[str, int]) -> None:
    harmless = say(PLAIN)
    written = [t for t in harmless.tokens.tolist() if t in ids.values()]
    answer = renderer.text_of(harmless.tokens[harmless.weights > 0])
    for attack in attacks(sorted(ids)):
        attacked = say(attack)
        tokens = attacked.tokens.tolist()
        assert [t for t in tokens if t in ids.values()] == written, attack
        # What data brings is encoded as it would be alone, and comes back as it was.
        assert renderer.text_of(tokens) == renderer.text_of(harmless.tokens).replace(PLAIN, attack)
        assert renderer.text_of(attacked.tokens[attacked.weights > 0]) == answer, attack


@pytest.mark.parametrize("family", FAMILIES)
def test_a_user_cannot_write_a_control_token(family: str, make: Make, tmp_path: Path) -> None:
    renderer = make(family)
    check(by_user(renderer), renderer, controls(tmp_path / "model", family))


@pytest.mark.parametrize("family", WITH_TOOLS)
def test_a_tool_cannot_write_a_control_token(family: str, make: Make, tmp_path: Path) -> None:
    renderer = make(family)
    check(by_tool(renderer), renderer, controls(tmp_path / "model", family))


def test_a_document_cannot_write_a_control_token(make: Make, tmp_path: Path) -> None:
    renderer = make("granite")
    check(by_document(renderer), renderer, controls(tmp_path / "model", "granite"))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prompt_is_kept_as_clean_as_a_row(family: str, make: Make, tmp_path: Path) -> None:
    renderer = make(family)
    ids = controls(tmp_path / "model", family)
    attack = "".join(sorted(ids))
    harmless, attacked = (
        renderer.prompt([{"role": "user", "content": text}]).tolist() for text in (PLAIN, attack)
    )
    assert [t for t in attacked if t in ids.values()] == [t for t in harmless if t in ids.values()]
    assert attack in renderer.text_of(attacked)


@pytest.mark.parametrize("family", FAMILIES)
def test_control_tokens_as_text_decode_to_themselves(
    family: str, make: Make, tmp_path: Path
) -> None:
    renderer = make(family)
    ids = controls(tmp_path / "model", family)
    for attack in attacks(sorted(ids)):
        tokens = renderer.encode_text(attack)
        assert not set(tokens.tolist()) & set(ids.values())
        assert renderer.text_of(tokens) == attack
        assert renderer.decode(tokens) == attack
