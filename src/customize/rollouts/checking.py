"""A reward held against the rows before anything is sampled. Knows no model.

What is wrong here is the author's, and would cost hours to see in training.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from customize._errors import OptionError
from customize.interfaces.dataset import Row
from customize.interfaces.environment import Rows
from customize.rollouts.limits import limited
from customize.rollouts.rewards import OWN, Finished, Part, Reward

_COMPARED = 64  # rows
_SECONDS = 30.0  # for one answer
_ANSWER = "answer"


@attrs.frozen
class Compared:
    """What one row's answers are rewarded: its own, none, and another row's.

    other: None where no other row has another answer.
    """

    row: int
    own: float
    empty: float
    other: float | None


def check_reward(reward: Reward, rows: Rows) -> None:
    """Every row has what is asked for, and its own answer is not worth less than others.

    The latter is asked of parts that look at the row's ``answer``, on the first rows.

    Raises:
        OptionError: it is not so; the row, the function and the figures are named.
    """
    for index in range(len(rows)):
        _check_columns(reward, index, rows[index])
    judging = tuple(p for p in reward.own if p.weight and _ANSWER in p.offered)
    if not judging:
        return
    for found in compared(Reward(judging), rows):
        for what, value in (("the empty answer", found.empty), ("another row's", found.other)):
            if value is not None and found.own < value:
                raise OptionError(
                    f"row {found.row}'s own answer is rewarded {found.own:g}, and less than "
                    f"{what}, {value:g}: look at {', '.join(p.name for p in judging)} with "
                    "customize inspect --reward"
                )


def compared(reward: Reward, rows: Rows, most: int = _COMPARED) -> Iterator[Compared]:
    """Of each of the first rows that have an ``answer`` in text.

    Raises:
        OptionError: the reward raises; it is named with the row.
    """
    answers = [str(rows[i].get(_ANSWER, "")) for i in range(min(len(rows), most))]
    for index, own in enumerate(answers):
        if not own:
            continue
        other = next((text for text in answers if text not in ("", own)), None)
        found = [
            None if text is None else _judged(reward, rows[index], index, text, what)
            for text, what in ((own, "own"), ("", "empty"), (other, "other"))
        ]
        assert found[0] is not None
        assert found[1] is not None
        yield Compared(index + 1, found[0], found[1], found[2])


def _check_columns(reward: Reward, index: int, row: Row) -> None:
    for part in reward.own:
        missing = [name for name in part.asked if name not in OWN and name not in row]
        if missing:
            there = ", ".join(name for name in row if name != "messages") or "none"
            raise OptionError(
                f"the reward {part.name} asks for {', '.join(missing)}, which row {index + 1} has "
                f"not: its columns are {there}; a reward may ask for those and for "
                f"{', '.join(OWN)}"
            )


def _judged(reward: Reward, row: Row, index: int, text: str, what: str) -> float:
    said = {"role": "assistant", "content": text}
    finished = Finished(text, (*row["messages"], said), row, len(text.split()) + 1, False)
    return sum(part.weight * sum(_of(part, finished, index, what)) for part in reward.own)


def _of(part: Part, finished: Finished, index: int, what: str) -> list[float]:
    told = {"own": "own answer", "empty": "empty answer", "other": "question, on another's answer,"}
    try:
        return list(limited(_SECONDS, part.of, finished).values())
    except Exception as error:  # whatever a person's code raises
        raise OptionError(
            f"the reward {part.name} raises {type(error).__name__} on row {index + 1}'s "
            f"{told[what]}: {error}"
        ) from error
