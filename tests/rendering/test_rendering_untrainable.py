"""Tokens that a model cannot be trained to say are refused with line, token and fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

import customize
from customize import RenderingError
from customize.data.rendering import ChatRenderer, RenderedRows

if TYPE_CHECKING:
    from tests.rendering.conftest import Make

# One word, one token, and <unk> for every other word.
WORDS = ["<unk>", "<pad>", "<end>", "<user>", "<assistant>", "where", "here", "there"]
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}> {{ m.content }} <end> {% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)
FILLING = TEMPLATE.replace("{{ m.content }}", "{{ '<pad> ' if m.role != 'user' }}{{ m.content }}")
ENDING_IN_PAD = TEMPLATE.replace("<end>", "<pad>")


@pytest.fixture
def renderer(tmp_path: Path) -> Make:
    def make(template: str = TEMPLATE, vocab_size: int = 8, **special: str) -> ChatRenderer:
        tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, "<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer.add_special_tokens([AddedToken(word, special=True) for word in WORDS[:5]])
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        named = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "<end>", **special}
        eos = WORDS.index(named["eos_token"])
        for name, content in (
            ("tokenizer_config.json", named),
            ("config.json", {"vocab_size": vocab_size, "eos_token_id": eos}),
        ):
            (tmp_path / name).write_text(json.dumps(content))
        (tmp_path / "chat_template.jinja").write_text(template)
        return ChatRenderer.from_folder(tmp_path)

    return make


def chat(answer: str, question: str = "where") -> dict[str, Any]:
    said = {"role": "assistant", "content": answer}
    return {"messages": [{"role": "user", "content": question}, said]}


def refusal(tmp_path: Path, renderer: ChatRenderer, *rows: dict[str, Any]) -> str:
    """What training on these rows, read from a file, would be refused with."""
    file = tmp_path / "rows.jsonl"
    file.write_text("\n\n".join(json.dumps(row) for row in rows))
    with (
        RenderedRows(customize.read(file), renderer, tmp_path / "cache") as rendered,
        pytest.raises(RenderingError) as caught,
    ):
        rendered.lengths()
    return str(caught.value)


def test_the_unknown_token_is_refused_with_the_text_it_stands_for(
    renderer: Make, tmp_path: Path
) -> None:
    told = refusal(tmp_path, renderer(), chat("here"), chat("here ☃ there"))
    assert "rows.jsonl, line 3: the unknown token '<unk>' would be trained" in told
    assert "no token for '☃'" in told
    assert "take it out of the answer" in told


def test_the_pad_token_of_a_template_is_refused(renderer: Make, tmp_path: Path) -> None:
    told = refusal(tmp_path, renderer(FILLING), chat("here"))
    assert "rows.jsonl, line 1: the pad token '<pad>' would be trained (token 4)" in told
    assert "set another pad_token in tokenizer_config.json" in told


def test_a_word_that_is_also_the_pad_token_is_refused(renderer: Make, tmp_path: Path) -> None:
    told = refusal(tmp_path, renderer(pad_token="there"), chat("here"), chat("here there"))
    assert "line 3: the pad token 'there' would be trained" in told
    assert "take it out of the answer" in told


@pytest.mark.parametrize("answer", ["here", "there"])
def test_an_id_outside_the_models_vocabulary_is_refused(
    renderer: Make, tmp_path: Path, answer: str
) -> None:
    # "there", id 7, is in the question or in the answer: the model can read neither.
    question = "there" if answer == "here" else "where"
    told = refusal(tmp_path, renderer(vocab_size=7), chat("here"), chat(answer, question))
    assert "line 3: the token 'there' has the id 7, and the model has only the ids below 7" in told
    assert "resize_token_embeddings" in told


def test_a_pad_token_that_ends_the_turn_is_trained(renderer: Make) -> None:
    rendered = renderer(ENDING_IN_PAD, eos_token="<pad>").render(chat("here")["messages"])
    trained = rendered.tokens[rendered.weights > 0]
    assert [WORDS[token] for token in trained] == ["here", "<pad>"]


def test_what_is_only_read_may_be_unknown_or_padding(renderer: Make) -> None:
    rendered = renderer(pad_token="there").render(chat("here", "☃ there")["messages"])
    read = [WORDS[token] for token in rendered.tokens[rendered.weights == 0]]
    assert read == ["<user>", "<unk>", "there", "<end>", "<assistant>"]


def test_a_vocabulary_of_another_size_is_not_served_from_the_cache(renderer: Make) -> None:
    assert renderer(vocab_size=7).fingerprint != renderer(vocab_size=8).fingerprint


def test_a_row_that_has_no_line_is_named_by_its_number(renderer: Make, tmp_path: Path) -> None:
    rows = [chat("here"), chat("☃")]
    with (
        RenderedRows(rows, renderer(), tmp_path / "cache") as rendered,
        pytest.raises(RenderingError, match="row 1: the unknown token"),
    ):
        rendered.lengths()


def test_checked_rows_keep_their_weights(renderer: Make) -> None:
    rendered = renderer().render(chat("here there")["messages"])
    np.testing.assert_array_equal(rendered.weights, [0, 0, 0, 0, 1, 1, 1])
