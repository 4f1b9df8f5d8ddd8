"""What is wrong with a row, and the account of a reading. Knows no format and reads no file."""

from __future__ import annotations

from collections import Counter

import attrs

LISTED = 10  # bad rows that a message lists one by one


class RowFault(Exception):
    """Why one row cannot be used. Never leaves this package: it becomes a `BadRow`.

    ``reason`` is one of a small set of phrases, so that rows can be counted by it; ``detail`` is
    about this row.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


@attrs.frozen
class BadRow:
    """A row that was not used; ``line`` counts from 1 (records, where a source has no lines)."""

    line: int
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}" + (f" ({self.detail})" if self.detail else "")


@attrs.frozen
class ReadReport:
    """Where every line of a source went: ``lines == good + blank + len(bad)``, always."""

    lines: int
    good: int
    blank: int
    bad: tuple[BadRow, ...]

    @property
    def reasons(self) -> dict[str, int]:
        """Number of bad rows by reason, the most frequent first."""
        return dict(Counter(row.reason for row in self.bad).most_common())

    def listing(self, at_most: int = LISTED) -> str:
        """The first bad rows one a line, then the counts by reason."""
        lines = [f"  {row}" for row in self.bad[:at_most]]
        if len(self.bad) > at_most:
            lines.append(f"  ... and {len(self.bad) - at_most} more")
        counts = ", ".join(f"{count} x {reason}" for reason, count in self.reasons.items())
        return "\n".join([*lines, f"by reason: {counts}"])
