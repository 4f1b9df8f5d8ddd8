"""Text from tokens: what is said piece by piece is what would be said at once."""

from __future__ import annotations

import itertools

import pytest

from customize import ChatRenderer, Said
from customize.serving.speech import Piece, Speech

TEXT = "Ein Süßes 🍕, two\n\n日本, and \ufffd the end. "


def pieces_of(speech: Speech, renderer: ChatRenderer, text: str, ends: bool) -> list[Piece]:
    tokens = renderer.encode_text(text).tolist()
    out = []
    for token in [*tokens, *(renderer.stop_tokens if ends else ())]:
        out.append(speech.hear(Said(token, -1.0)))
        if speech.ended:
            break
    return [*out, speech.end()]


STOPS = [(), ("two",), ("\n\n日",), ("🍕, ", "xx"), ("nd and", "the end. !"), (" ",), ("Ein",)]


@pytest.mark.parametrize(("stops", "trimmed"), list(itertools.product(STOPS, (True, False))))
def test_pieces_are_together_the_text_up_to_the_first_stop_text(
    renderer: ChatRenderer, stops: tuple[str, ...], trimmed: bool
) -> None:
    cut = min([at for stop in stops if (at := TEXT.find(stop)) >= 0], default=len(TEXT))
    wanted = TEXT[:cut].strip() if trimmed else TEXT[:cut]
    for ends in (True, False):
        pieces = pieces_of(Speech(renderer, stops, trimmed), renderer, TEXT, ends)
        assert "".join(piece.text for piece in pieces) == wanted
        assert pieces[-1].finish == ("stop" if ends or cut < len(TEXT) else "length")
        assert all(piece.finish is None for piece in pieces[:-1])


def test_no_piece_is_ever_taken_back(renderer: ChatRenderer) -> None:
    for length in range(1, len(TEXT.encode())):
        speech = Speech(renderer, (), trimmed=False)
        tokens = renderer.encode_text(TEXT).tolist()[:length]
        said = "".join(speech.hear(Said(token, -1.0)).text for token in tokens)
        assert (said + speech.end().text) == renderer.decode(tokens)
        assert TEXT.startswith(said)


def test_a_piece_has_the_tokens_that_it_is_of(renderer: ChatRenderer) -> None:
    pieces = pieces_of(Speech(renderer, ("STOP",), trimmed=True), renderer, "a ST b STOP", True)
    told = [(piece.text, len(piece.said)) for piece in pieces if piece.text or piece.said]
    assert told == [("a", 1), (" ST", 3), (" b", 2)]


def test_every_token_counts_and_the_stop_token_is_no_text(renderer: ChatRenderer) -> None:
    speech = Speech(renderer, (), trimmed=True)
    pieces_of(speech, renderer, "abc", ends=True)
    assert speech.num_tokens == 4
    assert speech.tokens == renderer.encode_text("abc").tolist()
