"""Files of questions: read, and added to line by line, so that what was stopped goes on.

What was not kept lies beside the file with the reason. Knows neither models nor documents.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from customize import DataError

# Fields that tell what a question is of: a passage, a question in other words, one of a log.
_MARKS = CHUNK, WORDING, ANSWERED = "chunk", "wording_of", "answer_to"
_ALL = ("question", "answer")


@attrs.frozen
class Proposed:
    """A question with its answer. reason: why it is left out; None where it is kept."""

    question: str
    answer: str
    document: str | None
    reason: str | None = None


@attrs.frozen
class Task:
    """What questions are made of.

    of: the field that tells so in each of their lines. make: one more, given those there are.
    """

    of: Mapping[str, Any]
    make: Callable[[Sequence[str]], Proposed]


def questions_of(file: str, needed: Sequence[str] = _ALL) -> Iterator[Mapping[str, Any]]:
    """The lines of a file, each with what is ``needed``.

    Raises:
        DataError: it cannot be read, or a line lacks one of them.
    """
    try:
        lines = Path(file).read_text("utf-8").split("\n")
    except OSError as error:
        raise DataError(f"the questions in {file} cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{file}, line {number} is not JSON: {error}") from error
        if not isinstance(row, dict) or not all(is_told(row, name) for name in needed):
            form = ", ".join(f'"{name}": …' for name in needed)
            raise DataError(
                f'{file}, line {number} must read {{{form}}}, and may name its "document"; where '
                "only questions are known, customize-rag questions --answer looks for the answers"
            )
        yield row


def is_told(row: Mapping[str, Any], name: str) -> bool:
    """Whether it is there, and more than spaces."""
    return isinstance(row.get(name), str) and bool(row[name].strip())


def write(tasks: Iterable[Task], to: Path, each: int = 1, most: int = 0) -> Iterator[Proposed]:
    """Make ``each`` questions of a task, less those that are there; of ``most`` tasks, 0 is all."""
    beside = to.with_name(f"{to.stem}.left-out.jsonl")
    to.parent.mkdir(parents=True, exist_ok=True)
    known: dict[str, list[str]] = {}
    for line in (line for file in (to, beside) for line in _lines(file)):
        if any(of in line for of in _MARKS):  # others are somebody's own
            known.setdefault(_key(line), []).append(line["question"])
    left = [task for task in tasks if len(known.get(_key(task.of), ())) < each]
    for task in left[: most or None]:
        there = known.setdefault(_key(task.of), [])
        while len(there) < each:
            one = task.make(sorted(there))  # in this order whether or not it was stopped between
            line = attrs.asdict(one, filter=attrs.filters.exclude("reason"))
            why = {} if one.reason is None else {"reason": one.reason}
            with (to if one.reason is None else beside).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({**line, **why, **task.of}, ensure_ascii=False) + "\n")
            there.append(one.question)
            yield one


def _key(line: Mapping[str, Any]) -> str:
    """What a line, or a task, is of."""
    return json.dumps([line.get(of) for of in _MARKS], sort_keys=True)


def _lines(file: Path) -> Iterator[Mapping[str, Any]]:
    """Whole lines; a kill may have cut the last one, which is then made again.

    Raises:
        DataError: another is no JSON.
    """
    if not file.is_file():
        return
    content = file.read_text("utf-8")
    start = content.rfind("\n") + 1
    if last := content[start:]:
        whole = content + "\n" if _is_json(last) else content[:start]
        file.write_text(whole, "utf-8")
        content = whole
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            if not _is_json(line):
                raise DataError(f"{file}, line {number} is not JSON: name a file of questions")
            yield json.loads(line)


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
