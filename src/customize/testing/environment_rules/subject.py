"""An environment under test, with rows and with replies of no model. Knows no rule."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import attrs

from customize._errors import OutOfRoom
from customize.data.reading import read
from customize.interfaces.dataset import Row
from customize.interfaces.environment import Environment, Reply, ToolCall
from customize.rollouts.stages import Said, stage_for
from customize.testing.subject import Subject

_USUAL = ("yes", "42", "I do not know.", "7", "The answer is 12.", "lower", "A", "Paris")
_CALL = ToolCall("no_such_tool", {"x": 1}, "call00000")
# What models say too.
ODD = {
    "an empty reply": Reply(""),
    "a reply of blanks": Reply(" \n\t "),
    "a reply in other scripts": Reply("二つで18ドルです。 ثمانية عشر 🍕"),
    "a reply with broken characters": Reply("\ufffd\x00\u200b e\u0301"),
    "a reply without end": Reply("no " * 500, stopped="length", num_tokens=500),
    "a reply in JSON": Reply('{"guess": "12", "list": [1, null]}'),
    "a number too large": Reply("9" * 300),
    "a call of no tool": Reply("", calls=(_CALL,)),
    "a call that cannot be read": Reply("<tool_call>{", faults=("unreadable_call",)),
}
_MOST_TURNS = 20
_ROWS: tuple[Row, ...] = (
    {"messages": [{"role": "user", "content": "How much is 6 times 7?"}], "answer": "42"},
    {"messages": [{"role": "user", "content": "Where is the Louvre?"}], "answer": "Paris"},
)


@attrs.frozen
class Played:
    """What an episode yielded, how it ended, and its row as it was afterwards.

    room: whether there was any to the end; else it was told that there is none.
    """

    turns: Sequence[Any]
    end: Said
    room: bool
    row: Row


class EnvironmentSubject(Subject):
    """An environment with rows to play."""

    kind: ClassVar[str] = "environment"

    def __init__(
        self, name: str, environment: Environment, rows: Sequence[Row] | None = None
    ) -> None:
        super().__init__(name)
        self.environment = environment
        self._given = rows

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """What is played, as a method reads it: those given, or the first it comes with."""
        own = self.environment.rows() if self.environment.data is not None else _ROWS
        given = read(self._given or own, kind="prompt")
        return [dict(given[i]) for i in range(len(given) if self._given else min(len(given), 4))]

    def play(self, row: Row, seed: int, replies: Sequence[Reply]) -> Played:
        """One episode; when the replies are spent it is told that there is no more room."""
        own = copy.deepcopy(row)
        turns: list[Any] = []
        with stage_for(self.environment) as stage:
            number = stage.begin(own, seed)
            [said] = stage.send([(number, None)])
            for reply in replies:
                if said.over:
                    return Played(turns, said, True, own)
                turns.append(said.value)
                [said] = stage.send([(number, reply)])
            if said.over:
                return Played(turns, said, True, own)
            [said] = stage.send([(number, OutOfRoom("there are no more turns"))])
            return Played(turns, said, False, own)


def usual_replies(seed: int, num_replies: int = _MOST_TURNS) -> list[Reply]:
    """What a model might say."""
    rng = random.Random(seed)
    return [Reply(rng.choice(_USUAL), num_tokens=2) for _ in range(num_replies)]
