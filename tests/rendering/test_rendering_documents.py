"""Documents beside a conversation: written where the template takes them, else refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import customize
from customize import RenderingError
from customize.data.rendering import RenderedRows

if TYPE_CHECKING:
    from tests.rendering.conftest import Make

ASK = {"role": "user", "content": "Are you open on Mondays?"}
SAY = {"role": "assistant", "content": "Yes, until six."}
DOCUMENTS = [
    {"title": "Hours", "text": "Open on Mondays until six."},
    {"title": "Parking", "text": "Behind the shop."},
]
ROW = {"messages": [ASK, SAY], "documents": DOCUMENTS}
# Looks into the text, so that marks disturb it.
ESCAPING = (
    "{% for d in documents or [] %}<|im_start|>document\n"
    "{{ d.text | tojson(ensure_ascii=True) }}<|im_end|>\n{% endfor %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ m.content | tojson(ensure_ascii=True) }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_rows_with_documents_are_read_rendered_and_not_trained(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(ROW))
    rows = customize.read(file)
    assert (rows.kind, rows[0]["documents"]) == ("chat", DOCUMENTS)
    renderer = make("granite")
    with RenderedRows(rows, renderer, tmp_path / "cache") as rendered:
        tokens, weights = rendered[0].tokens, rendered[0].weights
    assert renderer.text_of(tokens[weights > 0]) == "Yes, until six.<|end_of_text|>"
    read = renderer.text_of(tokens[weights == 0])
    assert "Hours\nOpen on Mondays until six." in read
    assert "Parking\nBehind the shop." in read


def test_a_template_that_takes_no_documents_is_refused_with_the_line(
    make: Make, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("\n" + json.dumps(ROW))
    with (
        RenderedRows(customize.read(file), make("qwen2_5"), tmp_path / "cache") as rendered,
        pytest.raises(
            RenderingError,
            match=r"line 2: .*does not write documents: put them into the system or user message",
        ),
    ):
        rendered.lengths()


def test_a_document_whose_text_the_template_does_not_know_is_refused(make: Make) -> None:
    source = (
        "{% for d in documents or [] %}<|im_start|>document\n{{ d.title }}{{ d.text or '' }}"
        "<|im_end|>\n{% endfor %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
        "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    renderer = make(source)
    renderer.render([ASK, SAY], documents=DOCUMENTS)
    misnamed = {"title": "Parking", "snippet": "Behind the shop."}
    with pytest.raises(RenderingError, match=r"'Behind the shop\.' of document 1: name its parts"):
        renderer.render([ASK, SAY], documents=[DOCUMENTS[0], misnamed])


def test_documents_are_looked_for_where_marks_disturb_the_template(make: Make) -> None:
    renderer = make(ESCAPING)
    text = renderer.text_of(renderer.render([ASK, SAY], documents=DOCUMENTS).tokens)
    assert "Behind the shop." in text
    without = make("{% set documents = [] %}" + ESCAPING)
    with pytest.raises(RenderingError, match="does not write documents"):
        without.render([ASK, SAY], documents=DOCUMENTS)
