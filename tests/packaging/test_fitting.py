"""Answers that are held to a schema: whatever is drawn, what comes out fits."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest

from customize import (
    Answering,
    ChatRenderer,
    DataError,
    MissingDependency,
    Query,
    Sampling,
    Unsupported,
)
from customize.testing import write_tiny_model
from customize.testing.renderer import ToyRenderer

jsonschema = pytest.importorskip("jsonschema")
pytest.importorskip("llguidance")

ORDER: Any = {
    "type": "object",
    "properties": {
        "dish": {"enum": ["margherita", "quattro formaggi", "crème brûlée 🍮"]},
        "count": {"type": "integer", "minimum": 1, "maximum": 120},
        "note": {"type": "string", "maxLength": 12},
        "extras": {"type": "array", "items": {"$ref": "#/$defs/extra"}, "maxItems": 3},
        "paid": {"type": ["boolean", "null"]},
    },
    "required": ["dish", "count", "note", "extras", "paid"],
    "additionalProperties": False,
    "$defs": {"extra": {"anyOf": [{"const": "cheese"}, {"type": "number", "multipleOf": 1}]}},
}
SMALL = {"enum": ["yes", "no"]}


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> ChatRenderer:
    """One byte, one token."""
    model = write_tiny_model(tmp_path_factory.mktemp("renderer") / "model")
    return ChatRenderer.from_folder(model.path)


def answering(renderer: Any, schema: Any, seed: int = 0, **sampling: Any) -> Answering:
    asked = Sampling(**{"max_tokens": 400, **sampling})
    return Answering(Query([1], asked, seed=seed, schema=json.dumps(schema)), renderer, 4096)


def logits_of(seed: int, place: int) -> Any:
    """What a model that knows nothing would say; digits without end are unlikely."""
    logits_V = np.random.default_rng((seed, place)).normal(0, 3, 256)
    logits_V[ord("0") : ord("9") + 1] -= 3
    return logits_V


def said(renderer: ChatRenderer, schema: Any, seed: int, **sampling: Any) -> tuple[str, bool]:
    """The answer, and whether it came to its own end."""
    one, place = answering(renderer, schema, seed, **sampling), 0
    while not one.over:
        one.draw(logits_of(seed, place))
        place += 1
    ended = one.tokens[-1] in renderer.stop_tokens
    return renderer.decode(np.asarray(one.tokens, np.int32)), ended


@pytest.mark.parametrize(
    "sampling", [{"temperature": 0.0}, {}, {"temperature": 2.0}, {"top_k": 2}, {"top_p": 0.3}]
)
def test_whatever_is_drawn_parses_and_fits(
    renderer: ChatRenderer, sampling: dict[str, float]
) -> None:
    answers = [said(renderer, ORDER, seed, **sampling) for seed in range(8)]
    whole = [text for text, ended in answers if ended]
    assert len(whole) >= 6
    for text in whole:
        jsonschema.validate(json.loads(text), ORDER)
    assert len(set(whole)) == len(whole)


def test_an_answer_that_is_cut_is_the_beginning_of_one_that_fits(renderer: ChatRenderer) -> None:
    short, ended = said(renderer, ORDER, seed=1, max_tokens=9)
    long, _ = said(renderer, ORDER, seed=1)
    assert not ended
    assert long.startswith(short)


def test_any_object_is_an_object(renderer: ChatRenderer) -> None:
    for seed in range(4):
        text, ended = said(renderer, {"type": "object"}, seed, temperature=0.5)
        assert text.startswith("{")
        assert not ended or isinstance(json.loads(text), dict)


def test_what_does_not_fit_has_no_share_in_what_is_drawn(renderer: ChatRenderer) -> None:
    """Where two tokens fit they are drawn as their probabilities are to one another."""
    two = {"enum": ["a", "b"]}
    a, b = renderer.encode_text("ab").tolist()
    drawn = []
    for seed in range(400):
        one = answering(renderer, two, seed)
        for text in ('"', None):
            logits_V = np.zeros(256)
            logits_V[[a, b]] = np.log([3.0, 1.0])
            told = one.draw(logits_V)
            if text is None:
                drawn.append(told.token)
                # And what is told of it is the model's own.
                own = 3.0 if told.token == a else 1.0
                assert told.logprob == pytest.approx(np.log(own / (254 + 4)))
    assert set(drawn) == {a, b}
    assert abs(drawn.count(a) / 400 - 0.75) < 0.09  # four standard errors


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.0},
        {},
        {"temperature": 0.6},
        {"temperature": 1.4},
        {"top_k": 5},
        {"temperature": 0.8, "top_p": 0.7},
        {"temperature": 0.01},
        {"temperature": 0.01, "top_p": 0.9},
    ],
    ids=str,
)
def test_the_likeliest_tokens_decide_what_all_would_or_ask_for_more(
    renderer: ChatRenderer, options: dict[str, Any]
) -> None:
    for seed in range(4):
        full, few = (answering(renderer, ORDER, seed, **options) for _ in range(2))
        place = 0
        while not full.over:
            logits_V = logits_of(seed, place)
            logprobs_V = logits_V - np.logaddexp.reduce(logits_V)
            wanted = full.draw(logits_V)
            for count in (20, 256):
                ids_K = np.argsort(-logprobs_V)[:count]
                found = few.draw_among(ids_K, logprobs_V[ids_K], 256)
                if found is not None:
                    break
            assert found is not None
            assert found.token == wanted.token
            place += 1
        assert few.over


@pytest.mark.parametrize("known", [20, 200, 256])
@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 1.4}, {"temperature": 0.01}, {"temperature": 0.01, "top_p": 0.9}],
    ids=str,
)
def test_tokens_that_fit_are_drawn_alike_however_unlikely_they_are(
    renderer: ChatRenderer, options: dict[str, Any], known: int
) -> None:
    """The model would say anything but what the schema takes, by a factor of e ** 40."""
    for seed in range(8):
        full, few = (answering(renderer, {"enum": ["a", "b"]}, seed, **options) for _ in range(2))
        while not full.over:
            logits_V = logits_of(seed, len(full.tokens))
            logits_V[ord(" ") : ord("~") + 1] -= 40
            logprobs_V = logits_V - np.logaddexp.reduce(logits_V)
            wanted = full.draw(logits_V).token
            found = None
            for count in (known, 256):
                ids_K = np.argsort(-logprobs_V)[:count]
                found = found or few.draw_among(ids_K, logprobs_V[ids_K], 256)
            assert found is not None
            assert found.token == wanted


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "sock"}, "cannot be held to this schema"),
        ({"$ref": "http://127.0.0.1:1/schema.json"}, "cannot be held to this schema"),
        ({"type": "object", "patternProperties": 3}, "cannot be held to this schema"),
        ({"not": {"type": "string"}}, "cannot be held to this schema"),
        ({"not": {}, "x-guidance": {"lenient": True}}, "cannot be held to this schema"),
    ],
)
def test_what_cannot_be_held_to_is_told_and_not_passed_over(
    renderer: ChatRenderer, schema: Any, told: str
) -> None:
    with pytest.raises(DataError, match=told):
        answering(renderer, schema)


def test_a_renderer_without_a_tokenizer_is_told() -> None:
    with pytest.raises(Unsupported, match=r"there is no tokenizer\.json"):
        answering(ToyRenderer(), SMALL)


def test_without_the_package_the_line_that_installs_it_is_told(
    renderer: ChatRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(MissingDependency, match=r"pip install 'customize\[json-schema\]'"):
        answering(renderer, SMALL)
