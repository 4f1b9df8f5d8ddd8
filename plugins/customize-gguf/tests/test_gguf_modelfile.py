"""Modelfiles: what Ollama would make of messages is what the chat template makes, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jinja2
import pytest

from customize_gguf._modelfile import Frame, modelfile

CHATML = "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}<e>\n{% endfor %}<s>assistant\n"
DEFAULT = "{% if messages[0].role != 'system' %}<s>system\nBe kind.<e>\n{% endif %}" + CHATML
UNEVEN = (
    "<b>{% for m in messages %}{% if m.role == 'user' %}[I]{{ m.content }}[/I]"
    "{% elif m.role == 'system' %}[S]{{ m.content }}[/S]"
    "{% else %}{{ m.content }}</s>{% endif %}{% endfor %}"
)
TRIMMING = CHATML.replace("m.content", "m.content | trim")
SYSTEM_IN_USER = (
    "{% for m in messages %}{% if m.role == 'system' %}{% else %}<s>{{ m.role }}\n"
    "{% if loop.index0 == 1 and messages[0].role == 'system' %}{{ messages[0].content }}\n"
    "{% endif %}"
    "{{ m.content }}<e>{% endif %}{% endfor %}<s>assistant\n"
)


def frame(template: str) -> Frame | None:
    compiled = jinja2.Template(template, keep_trailing_newline=True)

    def prompt(messages: Sequence[Mapping[str, str]]) -> str:
        return str(compiled.render(messages=messages))

    return Frame.find(prompt)


@pytest.mark.parametrize("template", [CHATML, DEFAULT])
def test_what_a_template_frames_messages_with_is_found(template: str) -> None:
    found = frame(template)
    assert found is not None
    assert found.turns == {
        role: (f"<s>{role}\n", "<e>\n") for role in ("system", "user", "assistant")
    }
    assert found.opening == "<s>assistant\n"
    assert found.system == ("Be kind." if template == DEFAULT else "")


def test_go_gets_every_piece_as_a_literal() -> None:
    found = frame(DEFAULT)
    assert found is not None
    assert modelfile("adapter.gguf", ["<e>"], found) == (
        "FROM ./model.gguf\n"
        "ADAPTER ./adapter.gguf\n"
        'TEMPLATE """{{ range .Messages }}'
        '{{ if eq .Role "system" }}{{ "<s>system\\n" }}{{ .Content }}{{ "<e>\\n" }}'
        '{{ else if eq .Role "user" }}{{ "<s>user\\n" }}{{ .Content }}{{ "<e>\\n" }}'
        '{{ else if eq .Role "assistant" }}{{ "<s>assistant\\n" }}{{ .Content }}{{ "<e>\\n" }}'
        '{{ end }}{{ end }}{{ "<s>assistant\\n" }}"""\n'
        'SYSTEM """Be kind."""\n'
        'PARAMETER stop "<e>"\n'
    )


@pytest.mark.parametrize("template", [UNEVEN, TRIMMING, SYSTEM_IN_USER])
def test_a_template_that_does_more_is_not_guessed(template: str) -> None:
    assert frame(template) is None
    text = modelfile(None, [], frame(template))
    assert "TEMPLATE" not in text
    assert "may differ" in text
