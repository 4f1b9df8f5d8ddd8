"""A turn of the answers that are under way: what of them the graph computes next.

In a turn one chunk of one prompt is read, so that a long one does not make the others wait; then
each answer that is past its prompt grows by a token, all together. Knows no queue and no text.

Shape legend: R rows, T tokens of a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from customize import Underway, told_to
from customize_onnx.cache import Place, gathered
from customize_onnx.program import Program, whole

CHUNK = 256  # tokens of a prompt that are read in a turn


class Turns:
    """The rows of one program, by adapter."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._places: dict[str | None, dict[Underway, Place]] = {}

    def advance(self, adapter: str | None, answers: Sequence[Underway]) -> None:
        """Read on, and draw the next tokens."""
        known = self._places.get(adapter, {})
        places = {one: known.get(one) or Place(self._program.empty(), 0) for one in answers}
        self._places[adapter] = places
        unread = [one for one in answers if places[one].length < len(one.query.tokens)]
        if unread:
            with told_to(unread[:1]):
                self._read(unread[0], places)
        going = [one for one in answers if one.tokens and not one.is_over]
        if going:
            self._step(going, places)

    def _read(self, answer: Underway, places: dict[Underway, Place]) -> None:
        place, tokens_T = places[answer], answer.query.tokens
        some = tokens_T[place.length : place.length + CHUNK]
        logits, cache = self._program.run(whole(some), place.cache, 1, answer.query.adapter)
        places[answer] = Place(cache, 0)
        if places[answer].length == len(tokens_T):
            answer.draw(logits[0, 0])

    def _step(self, answers: Sequence[Underway], places: dict[Underway, Place]) -> None:
        last_R1 = np.array([one.tokens[-1:] for one in answers])
        cache = gathered([places[one] for one in answers])
        logits, cache = self._program.run(last_R1, cache, 1, answers[0].query.adapter)
        for number, one in enumerate(answers):
            places[one] = Place(cache, number)
            one.draw(logits[number, 0])
