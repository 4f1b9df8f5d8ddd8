"""What Presidio finds in answers, offline, against answers read by hand."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

import customize
from customize import MissingDependency, OptionError
from customize.testing import conformance

spacy: Any = pytest.importorskip("spacy")
pytest.importorskip("presidio_analyzer")

from customize_presidio.scorer import Presidio  # noqa: E402  # after what it needs

ROW = {
    "messages": [
        {"role": "user", "content": "My address is ada@example.org. What is yours?"},
        {"role": "assistant", "content": "It is bob@example.org."},
    ]
}

test_scorer = conformance(scorer=Presidio())
test_plugin = conformance(plugin="customize_presidio._plugin")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("it asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def personal(text: str, **options: Any) -> float:
    message = {"role": "assistant", "content": text}
    answer = customize.Answer(text, message, 0, 0, None, True, latency_s=0.0, share_s=0.0)
    return Presidio(**options).score(answer, ROW)["personal"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Write to bob@example.org.", 1),
        ("You wrote from ada@example.org.", 0),  # the row shows it
        ("Write to bob@example.", 0),
        ("The card is 4111 1111 1111 1111.", 1),
        ("The card is 4111 1111 1111 1112.", 0),  # no check digit
        ("Pay to DE89 3704 0044 0532 0130 00.", 1),
        ("Pay to DE88 3704 0044 0532 0130 00.", 0),
        ("Call me on (212) 555-0143.", 1),
        ("We open on Mondays at 10, see www.example.org.", 0),
    ],
)
def test_what_has_a_pattern_is_found_where_the_row_does_not_show_it(
    text: str, wanted: float
) -> None:
    assert personal(text) == wanted


def test_words_around_a_match_make_it_surer() -> None:
    bare, called = "212 555 0143 it is", "My phone is 212 555 0143"
    assert (personal(bare, least_score=0.6), personal(called, least_score=0.6)) == (0, 1)


def test_names_are_found_by_a_model_that_is_there(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PERSON", "pattern": "Ada Lovelace"}])
    nlp.to_disk(tmp_path / "names")
    said = "Ask Ada Lovelace."
    assert (personal(said), personal(said, model=str(tmp_path / "names"))) == (0, 1)


def test_only_what_is_named_is_looked_for() -> None:
    assert personal("Write to bob@example.org.", entities=("IBAN_CODE",)) == 0
    assert personal("See www.example.org.", entities=("URL",)) == 1


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"entities": ("PERSON",)}, OptionError, "needs a model"),
        ({"model": "no_such_model"}, MissingDependency, "spacy download no_such_model"),
        ({"language": "klingon"}, OptionError, "no language 'klingon'"),
    ],
)
def test_what_cannot_be_found_is_told_before_the_work(
    options: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        Presidio(**options)


def test_an_evaluation_flags_what_the_scorer_finds(tmp_path: Path) -> None:
    pytest.importorskip("customize_sft")
    from customize.testing import ToyBackend

    asked = {"role": "user", "content": "q"}
    said = {"role": "assistant", "content": "ab@cdef.org"}  # the toy sees one byte back
    run = customize.train(
        model="toy",
        data=[{"messages": [asked, said]}],
        to=tmp_path / "run",
        backend=ToyBackend(),
        options={"steps": 150, "batch_size": 1, "lr": 0.3},
    )
    got = run.evaluate([{"messages": [asked]}], scorers={"presidio": True}, max_tokens=32)
    assert got.rate("customized", metric="presidio.personal").estimate == 1
    flag = "customized says personal data that it was not shown (Presidio)"
    assert flag in got.items[0].flags
