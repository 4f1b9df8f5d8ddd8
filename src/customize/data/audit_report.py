"""What an audit found, as values, as JSON and on a terminal. Looks at no data."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import attrs

from customize.data.faults import ReadReport

if TYPE_CHECKING:
    from rich.console import Console

_SHOWN = 8
_WIDTH = 80


@attrs.frozen
class Finding:
    """Something sensitive: ``line`` of the source, ``where`` in the row, the value masked."""

    line: int
    group: Literal["personal", "secret"]
    kind: str
    where: str
    masked: str


@attrs.frozen
class Cluster:
    """Rows nearly the same, by line; ``similarity`` is that of the least alike pair that met."""

    lines: tuple[int, ...]
    similarity: float


@attrs.frozen
class Lengths:
    """Percentiles."""

    least: int
    median: int
    p90: int
    p99: int
    most: int


@attrs.frozen
class Audit:
    """What `audit` found. Rows are named by line, or record where the source is no text, from 1.

    ``report`` counts good, bad and blank lines. ``characters`` and ``words`` are percentiles over
    rows, ``answer_words`` over answers; ``languages`` counts rows by a guess of their language.
    """

    name: str
    format: str
    kind: str
    fingerprint: str
    report: ReadReport
    exact_duplicates: tuple[tuple[int, ...], ...]
    near_duplicates: tuple[Cluster, ...]
    characters: Lengths
    words: Lengths
    answer_words: Lengths
    languages: dict[str, int]
    cut_answers: tuple[int, ...]
    findings: tuple[Finding, ...]

    @property
    def empty_answers(self) -> tuple[int, ...]:
        """Lines of rows that were not used because an answer is empty."""
        return tuple(bad.line for bad in self.report.bad if bad.reason == "empty answer")

    def to_json(self) -> str:
        """Everything found, values masked, as a JSON object."""
        found = attrs.asdict(self)
        found["empty_answers"] = self.empty_answers
        return json.dumps(found, ensure_ascii=False, indent=2)

    def print(self, console: Console) -> None:
        """Write the report to a terminal, at most 80 columns wide."""
        from rich.table import Table
        from rich.text import Text

        table = Table(
            "what",
            "rows",
            "where (lines)",
            title=self._title(),
            width=min(_WIDTH, console.width),
        )
        table.columns[1].justify = "right"
        for what, count, where in self._lines():
            # Text, because names in square brackets would be read as styles.
            table.add_row(Text(what), Text(f"{count:,}"), Text(where))
        console.print(table)
        console.print(Text(self._notes()), width=min(_WIDTH, console.width))

    def _title(self) -> str:
        return f"{self.report.good:,} {self.kind} rows, {self.format}".replace("[", "(")

    def _lines(self) -> list[tuple[str, int, str]]:
        rows = [(f"bad: {reason}", count, self._bad(reason))
                for reason, count in self.report.reasons.items()]  # fmt: skip
        exact = [" = ".join(map(str, _first(lines, 4))) for lines in self.exact_duplicates]
        near = [" ~ ".join(map(str, _first(one.lines, 4))) for one in self.near_duplicates]
        extra = sum(len(lines) - 1 for lines in self.exact_duplicates)
        alike = sum(len(one.lines) - 1 for one in self.near_duplicates)
        rows.append(("exact duplicates", extra, _some(exact)))
        rows.append(("near-duplicates (0.8)", alike, _some(near)))
        rows.append(("answers that seem cut", len(self.cut_answers), _some(self.cut_answers)))
        kinds = Counter((found.group, found.kind) for found in dict.fromkeys(self._by_row()))
        for (group, kind), count in kinds.most_common():
            rows.append((f"{group}: {kind}", count, self._found(group, kind)))
        return rows

    def _by_row(self) -> list[Finding]:
        """One finding a row and kind."""
        return [attrs.evolve(found, where="", masked="") for found in self.findings]

    def _bad(self, reason: str) -> str:
        return _some([bad.line for bad in self.report.bad if bad.reason == reason])

    def _found(self, group: str, kind: str) -> str:
        lines = (one.line for one in self.findings if (one.group, one.kind) == (group, kind))
        return _some(list(dict.fromkeys(lines)))

    def _notes(self) -> str:
        languages = ", ".join(f"{name} {count:,}" for name, count in self.languages.items())
        lengths = "\n".join(
            f"{name}: median {one.median:,}, 90 % up to {one.p90:,}, 99 % up to {one.p99:,}, "
            f"most {one.most:,}"
            for name, one in (
                ("characters a row", self.characters),
                ("words a row", self.words),
                ("words an answer", self.answer_words),
            )
        )
        return (
            f"{self.name}: {self.report.lines:,} lines, {self.report.good:,} good, "
            f"{len(self.report.bad):,} bad, {self.report.blank:,} blank\n"
            f"{lengths}\nscript or language guess: {languages}"
        )


def _first(lines: Sequence[int], count: int) -> list[str]:
    return [*map(str, lines[:count]), *(["..."] if len(lines) > count else [])]


def _some(items: Sequence[object]) -> str:
    more = f" and {len(items) - _SHOWN:,} more" if len(items) > _SHOWN else ""
    return ", ".join(str(item) for item in items[:_SHOWN]) + more
