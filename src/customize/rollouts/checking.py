"""A reward held against the rows before anything is sampled. Knows no model.

What is wrong here is the author's, and would cost hours to see in training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from customize._errors import OptionError
from customize.interfaces.dataset import Row
from customize.interfaces.environment import Rows
from customize.rollouts.limits import limited
from customize.rollouts.rewards import OWN, Finished, Part, Reward

_COMPARED = 64  # rows
SECONDS = 30.0  # for each call of a reward, a tool or a judge of siblings, unless given
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

    @property
    def is_less(self) -> bool:
        """Whether its own answer is worth less than another that was tried."""
        return self.own < self.empty or (self.other is not None and self.own < self.other)


def check_reward(reward: Reward, rows: Rows, seconds: float = SECONDS) -> str | None:
    """Every row has what is asked for, and its own answer is not worth less than others.

    The latter is asked of parts that look at the row's ``answer``, on the first rows.

    seconds: for one answer.

    Returns:
        What to look at where own answers are worth no more than others. That may be right: a
        reward may want a form around the answer, or a tool's call.

    Raises:
        OptionError: it is not so; the row, the function and the figures are named.
    """
    for index in range(len(rows)):
        _check_columns(reward, index, rows[index])
    judging = tuple(
        part for part in reward.own if part.weight and _looks_at_answer(part, rows, seconds)
    )
    names = ", ".join(part.name for part in judging)
    found = list(compared(Reward(judging), rows, seconds=seconds)) if judging else []
    for one in found:
        for what, value in (("the empty answer", one.empty), ("another row's", one.other)):
            if value is not None and one.own < value:
                raise OptionError(
                    f"row {one.row}'s own answer is rewarded {one.own:g}, and less than {what}, "
                    f"{value:g}: look at {names} with customize inspect --reward; where the column "
                    "answer is not what is to be said, give it another name"
                )
    told = ties(found)
    return told and f"{names}: {told}; see customize inspect --reward"


def worse(found: Sequence[Compared]) -> str | None:
    """Where own answers are rewarded less than others, as a reward of form alone may do."""
    less = [one for one in found if one.is_less]
    if not less:
        return None
    return (
        f"{len(less)} of {len(found)} rows' own answers are rewarded less than others (the first "
        f"is row {less[0].row}): right where the reward looks at length or form alone; else mend "
        "the rows or the reward"
    )


def ties(found: Sequence[Compared]) -> str | None:
    """What is suspicious, though a reward that wants a form around an answer may be so too."""
    empty = [one for one in found if one.own == one.empty]
    other = [one for one in found if one.own == one.other]
    if found and len(empty) == len(other) == len(found):
        told = "whatever was tried is rewarded alike, the rows' own answers, none and other rows'"
    elif empty:
        first = f"{empty[0].own:g} (the first is row {empty[0].row})"
        told = f"{len(empty)} of {len(found)} rows' own answers are rewarded as none is, {first}"
    elif other and len(other) == sum(one.other is not None for one in found):
        return "every row's own answer is rewarded as another row's is: it tells none from another"
    else:
        return None
    return (
        f"{told}: right where a form around the answer is wanted, as \\boxed{{5}}, or a tool's "
        "call; else nothing can be learnt there: mend the rows or the reward"
    )


def compared(
    reward: Reward, rows: Rows, most: int = _COMPARED, seconds: float = SECONDS
) -> Iterator[Compared]:
    """Of each of the first rows that have an ``answer`` in text; a judge of siblings is shown what
    is tried as one group.

    Raises:
        OptionError: the reward raises; it is named with the row.
    """
    answers = [str(rows[i].get(_ANSWER, "")) for i in range(min(len(rows), most))]
    for index, own in enumerate(answers):
        if not own:
            continue
        other = next((text for text in answers if text not in ("", own)), None)
        tried = [own, "", *([] if other is None else [other])]
        whats = zip(tried, ("own", "empty", "other"), strict=False)
        alone = [_judged(reward, rows[index], index, text, what, seconds) for text, what in whats]
        beside = _beside(reward, rows[index], index, tried, seconds)
        mine, empty, *others = [a + b for a, b in zip(alone, beside, strict=True)]
        yield Compared(index + 1, mine, empty, others[0] if others else None)


class _Watched(dict[str, Any]):
    """A row that notes whether its answer is looked at."""

    looked_at = False

    def __getitem__(self, key: str) -> Any:
        self.looked_at |= key == _ANSWER
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.looked_at |= key == _ANSWER
        return super().get(key, default)


def _looks_at_answer(part: Part, rows: Rows, seconds: float) -> bool:
    """Whether it asks for it by name, or looks it up in the row."""
    if _ANSWER in part.offered or "row" not in part.offered:
        return _ANSWER in part.offered
    index = next((i for i in range(min(len(rows), _COMPARED)) if rows[i].get(_ANSWER)), None)
    if index is None:
        return False
    row = _Watched(rows[index])
    _judged(Reward((part,)), row, index, str(rows[index][_ANSWER]), "own", seconds)
    return row.looked_at


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


def _judged(reward: Reward, row: Row, index: int, text: str, what: str, seconds: float) -> float:
    said = {"role": "assistant", "content": text}
    finished = Finished(text, (*row["messages"], said), row, len(text.split()) + 1, False)
    return sum(part.weight * sum(_of(part, finished, index, what, seconds)) for part in reward.own)


def _beside(reward: Reward, row: Row, index: int, texts: list[str], seconds: float) -> list[float]:
    """What judges of siblings add to each."""
    if not reward.of_siblings:
        return [0.0] * len(texts)
    try:
        verdicts = limited(seconds, reward.among, texts, [row] * len(texts))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a person's code raises, SystemExit too
        names = ", ".join(part.name for part in reward.of_siblings)
        raise OptionError(
            f"the judge {names} raises {type(error).__name__} on row {index + 1}'s answers, its "
            f"own, none and another's: {error}"
        ) from error
    return [verdict.reward for verdict in verdicts]


def _of(part: Part, finished: Finished, index: int, what: str, seconds: float) -> list[float]:
    told = {"own": "own answer", "empty": "empty answer", "other": "question, on another's answer,"}
    try:
        return list(limited(seconds, part.of, finished).values())
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a person's code raises, SystemExit too
        raise OptionError(
            f"the reward {part.name} raises {type(error).__name__} on row {index + 1}'s "
            f"{told[what]}: {error}"
        ) from error
